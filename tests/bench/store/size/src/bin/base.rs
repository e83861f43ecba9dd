//! No store: the file is read, written, erased and synced.

use size::{Chip, key};

fn main() -> std::io::Result<()> {
    let chip = Chip::open()?;
    let mut bytes = vec![0; 64];
    chip.read(0, &mut bytes)?;
    chip.erase(0)?;
    chip.program(8, &key())?;
    chip.sync()?;
    println!("{bytes:?}");
    Ok(())
}
