//! What a device says to its NAS through a channel of their own: how are you, call me this, I leave. A shell.

use std::rc::Rc;

use serde_json::{Value, json};
use smol::LocalExecutor;

use super::args::Line;
use super::channel::{Channel, Unreached};
use super::commands::{Failure, way};
use super::keyring::Pairing;
use crate::remote::opening::Health;

/// Whether this NAS is asked through the channel: its place or the path was named, or there is no broker where it could be met.
pub(super) const fn is_direct(line: &Line, pairing: &Pairing) -> bool {
    line.at.is_some() || line.path.is_some() || !pairing.broker.is_some()
}

/// One question on a channel that is there for nothing else.
pub(super) async fn ask<T>(
    line: &Line,
    nas: Option<&str>,
    question: impl AsyncFnOnce(&Channel) -> Result<T, Unreached>,
) -> Result<(T, Pairing), Failure> {
    let executor = Rc::new(LocalExecutor::new());
    let (way, pairing) = way(line, &executor, nas, drop).await?;
    let asked = async {
        let channel = way.channel(None).await?;
        let answer = question(&channel).await?;
        drop(channel);
        way.close().await;
        Ok::<_, Failure>(answer)
    };
    Ok((executor.run(asked).await?, pairing))
}

/// How the NAS is, in words and as JSON.
pub(super) async fn status(line: &Line, pairing: &Pairing) -> Result<(String, Value), Failure> {
    let nas = pairing.nas.as_str();
    let (health, _) = ask(line, Some(nas), async |channel| channel.status().await).await?;
    let Health { name, user, summary, online } = &health;
    let cloud = if *online { "online" } else { "not online" };
    let text = format!("{name} ({nas}): paired as a device of {user}; its session is {cloud}\n  {summary}\n");
    let view = json!({
        "nas": nas, "name": name, "standing": "paired", "user": user, "summary": summary, "online": online
    });
    Ok((text, view))
}

/// Leaves; when this returns the NAS has forgotten this device.
pub(super) async fn unpair(line: &Line, pairing: &Pairing) -> Result<(), Failure> {
    let leave = async |channel: &Channel| channel.unpair().await;
    ask(line, Some(pairing.nas.as_str()), leave).await.map(drop)
}

/// Gives this device another name at the NAS.
pub(super) async fn rename(line: &Line, name: &str, nas: Option<&str>) -> Result<String, Failure> {
    let ((), pairing) = ask(line, nas, async |channel| channel.rename(name).await).await?;
    if line.json {
        return Ok(format!("{}\n", json!({ "renamed": true, "nas": pairing.nas })));
    }
    Ok(format!("{} has another name for this device now.\n", pairing.name))
}
