//! How long the flash lasts. A core.

use super::flash::Geometry;
use super::frame::FRAME_LEN;

/// What a medium endures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endurance {
    /// Erases of a block before it may fail, by the makers' word.
    pub cycles: u32,
    /// Blocks that the erases are spread over.
    pub blocks: u32,
}

/// NOR flash: 100,000 (for example Macronix MX25L8006E, data sheet, features).
pub const NOR_CYCLES: u32 = 100_000;
/// NAND flash of the cheaper kind: 3,000 (MLC); the SLC NAND of most NAS boxes endures more than ten times that.
pub const NAND_CYCLES: u32 = 3_000;

/// Bytes of a usual record; a pairing has some 250, most others fewer than 100.
const RECORD: usize = 256;

/// Years that the flash lasts at least if the daily budget of records is used up every day, each of them sealed.
pub fn years_at_least(geometry: &Geometry, endurance: Endurance, records_per_day: u32) -> u32 {
    let record = geometry.round(FRAME_LEN + RECORD) + geometry.round(FRAME_LEN);
    // Half a segment may be taken by the snapshot.
    let records_per_erase = u64::try_from(geometry.segment_bytes / 2 / record.max(1)).unwrap_or(0).max(1);
    let erases_per_year = (u64::from(records_per_day) * 365).div_ceil(records_per_erase).max(1);
    let all = u64::from(endurance.cycles) * u64::from(endurance.blocks);
    u32::try_from(all / erases_per_year).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_day_every_day() {
        let nor = Geometry { segments: 2, segment_bytes: 65_536, program_unit: 16, fades: false };
        // 32,768 / 288 = 113 records an erase, 500 · 365 / 113 = 1,616 erases a year, 200,000 of them.
        assert_eq!(years_at_least(&nor, Endurance { cycles: NOR_CYCLES, blocks: 2 }, 500), 123);
        let nand = Geometry { segments: 4, segment_bytes: 126_976, program_unit: 2048, fades: true };
        // 15 records an erase, 12,167 erases a year, 3,000 times 1,480 blocks.
        assert_eq!(years_at_least(&nand, Endurance { cycles: NAND_CYCLES, blocks: 1480 }, 500), 364);
        assert_eq!(years_at_least(&nand, Endurance { cycles: 1, blocks: 1 }, 1_000_000), 0);
    }
}
