//! From what the box says of itself to exactly one board, or the reason why not. A core.

use super::description::{Description, Match};

/// What the box says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The device tree's `model`.
    pub model: Option<String>,
    /// The device tree's `compatible`, most specific first.
    pub compatible: Vec<String>,
}

/// Why there is no board.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoBoard {
    /// Nothing fits.
    #[error("no description fits (model {model:?}, compatible {compatible:?})")]
    Unknown {
        /// What it says.
        model: String,
        /// What it says.
        compatible: String,
    },
    /// More than one fits: guessing would drive another box's lights.
    #[error("several descriptions fit: {0}")]
    Ambiguous(String),
    /// The configuration names one that is not there.
    #[error("there is no description {0:?}")]
    NotThere(String),
}

/// Chooses. `wanted`: the configuration's choice, which wins.
///
/// # Errors
/// [`NoBoard`].
pub fn select(boards: &[Description], facts: &Facts, wanted: Option<&str>) -> Result<Description, NoBoard> {
    if let Some(id) = wanted {
        return boards.iter().find(|b| b.id == id).cloned().ok_or_else(|| NoBoard::NotThere(id.to_owned()));
    }
    let fitting: Vec<&Description> =
        boards.iter().filter(|b| b.matches.iter().any(|m| fits(m, facts))).collect();
    match fitting.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(NoBoard::Unknown {
            model: facts.model.clone().unwrap_or_default(),
            compatible: facts.compatible.join(","),
        }),
        several => {
            Err(NoBoard::Ambiguous(several.iter().map(|b| b.id.as_str()).collect::<Vec<_>>().join(", ")))
        }
    }
}

fn fits(wanted: &Match, facts: &Facts) -> bool {
    let model = wanted.model.is_empty() || facts.model.as_ref().is_some_and(|m| wanted.model.contains(m));
    let compatible =
        wanted.compatible.is_empty() || facts.compatible.iter().any(|c| wanted.compatible.contains(c));
    model && compatible
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::builtin;

    fn facts(model: &str, compatible: &[&str]) -> Facts {
        let compatible = compatible.iter().map(|c| (*c).to_owned()).collect();
        Facts { model: (!model.is_empty()).then(|| model.to_owned()), compatible }
    }

    #[track_caller]
    fn check(facts: &Facts, expect: Option<&str>) {
        assert_eq!(select(&builtin::all(), facts, None).ok().map(|b| b.id).as_deref(), expect);
    }

    #[test]
    fn boards_are_recognised_by_model_or_compatible() {
        check(&facts("WD MyCloud Mirror Gen 2 (BWVZ/Grand Teton)", &[]), Some("wd-cloud-mirror-gen2"));
        check(&facts("", &["wd,cloud-mirror-gen2", "marvell,armada385"]), Some("wd-cloud-mirror-gen2"));
        check(&facts("Kobol Helios64", &["kobol,helios64", "rockchip,rk3399"]), Some("kobol-helios64"));
        check(&facts("Kobol Helios65", &["rockchip,rk3399"]), None);
        check(&facts("", &[]), None);
    }

    #[test]
    fn two_that_fit_are_refused_and_the_configuration_decides() {
        let facts = facts("Kobol Helios64", &["moorline,sim"]);
        let error = select(&builtin::all(), &facts, None).unwrap_err();
        assert_eq!(error, NoBoard::Ambiguous("kobol-helios64, sim".into()));
        assert_eq!(select(&builtin::all(), &facts, Some("sim")).unwrap().id, "sim");
        assert_eq!(select(&builtin::all(), &facts, Some("x")), Err(NoBoard::NotThere("x".into())));
    }

    #[test]
    fn every_embedded_board_is_found_by_each_of_its_own_names_and_no_other() {
        for board in builtin::all() {
            for wanted in &board.matches {
                for model in &wanted.model {
                    check(&facts(model, &[]), Some(&board.id));
                }
                for compatible in &wanted.compatible {
                    check(&facts("", &[compatible]), Some(&board.id));
                }
            }
        }
    }
}
