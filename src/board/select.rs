//! From what the box says of itself to exactly one board, or the reason why not. A core.
//!
//! Two that fit are refused, not "first wins": guessing would drive another box's lights.

use super::description::{Description, Match};

/// What the box says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The device tree's `model`.
    pub model: Option<String>,
    /// The device tree's `compatible`, most specific first.
    pub compatible: Vec<String>,
    /// `Hardware` of /proc/cpuinfo: all that a kernel without a device tree has.
    pub hardware: Option<String>,
    /// `MemTotal` of /proc/meminfo in MiB.
    pub memory_mib: Option<u32>,
    /// Names of the MTD partitions.
    pub mtd: Vec<String>,
    /// ATA ports.
    pub sata_ports: usize,
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
    /// More than one fits; their ids.
    #[error("several descriptions fit: {}", .0.join(", "))]
    Ambiguous(Vec<String>),
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
        [_, _, ..] => Err(NoBoard::Ambiguous(fitting.iter().map(|b| b.id.clone()).collect())),
    }
}

fn fits(wanted: &Match, facts: &Facts) -> bool {
    let one = |list: &[String], fact: &Option<String>| {
        list.is_empty() || fact.as_ref().is_some_and(|f| list.contains(f))
    };
    let compatible =
        wanted.compatible.is_empty() || facts.compatible.iter().any(|c| wanted.compatible.contains(c));
    let memory = wanted
        .memory_mib
        .is_none_or(|(low, high)| facts.memory_mib.is_some_and(|mib| (low..=high).contains(&mib)));
    let ports = wanted.sata_ports.is_none_or(|ports| facts.sata_ports == usize::from(ports));
    // The parser refuses matches by an evaluation board's string alone; a description from elsewhere meets it here.
    compatible
        && one(&wanted.model, &facts.model)
        && one(&wanted.hardware, &facts.hardware)
        && memory
        && ports
        && wanted.mtd.iter().all(|name| facts.mtd.contains(name))
        && !wanted.is_evaluation_only()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::builtin;
    use crate::board::description::EVALUATION;

    fn facts(model: &str, compatible: &[&str]) -> Facts {
        let compatible = compatible.iter().map(|c| (*c).to_owned()).collect();
        Facts { model: (!model.is_empty()).then(|| model.to_owned()), compatible, ..Facts::default() }
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
        assert_eq!(error, NoBoard::Ambiguous(vec!["kobol-helios64".into(), "sim".into()]));
        assert_eq!(error.to_string(), "several descriptions fit: kobol-helios64, sim");
        assert_eq!(select(&builtin::all(), &facts, Some("sim")).unwrap().id, "sim");
        assert_eq!(select(&builtin::all(), &facts, Some("x")), Err(NoBoard::NotThere("x".into())));
    }

    #[test]
    fn every_embedded_board_is_found_by_each_of_its_own_names_and_no_other() {
        for board in builtin::all() {
            for wanted in &board.matches {
                for facts in boxes(wanted) {
                    check(&facts, Some(&board.id));
                }
            }
        }
    }

    /// For each text of the match a box that has it, and one text of each other kind that the match wants.
    fn boxes(wanted: &Match) -> Vec<Facts> {
        let kinds = [&wanted.model, &wanted.compatible, &wanted.hardware];
        let most = kinds.iter().map(|k| k.len()).max().unwrap();
        let nth = |kind: &[String], n: usize| kind.get(n).or(kind.last()).cloned();
        let one = |n| Facts {
            model: nth(&wanted.model, n),
            compatible: nth(&wanted.compatible, n).into_iter().collect(),
            hardware: nth(&wanted.hardware, n),
            memory_mib: wanted.memory_mib.map(|(low, _)| low),
            mtd: wanted.mtd.clone(),
            sata_ports: wanted.sata_ports.unwrap_or(0).into(),
        };
        (0..most).map(one).collect()
    }

    #[test]
    fn memory_partitions_and_ports_must_fit_if_they_are_given() {
        let mut board = builtin::all().remove(0);
        board.matches = vec![Match {
            compatible: vec!["marvell,a375-db".into()],
            memory_mib: Some((400, 512)),
            mtd: vec!["u-boot".into(), "env".into()],
            sata_ports: Some(1),
            ..Match::default()
        }];
        let good = boxes(&board.matches[0]).remove(0);
        let found = |facts: &Facts| select(&[board.clone()], facts, None).is_ok();
        let changed = |change: fn(&mut Facts)| {
            let mut facts = good.clone();
            change(&mut facts);
            found(&facts)
        };
        assert!(found(&good) && changed(|f| f.memory_mib = Some(512)) && changed(|f| f.mtd.push("x".into())));
        assert!(!changed(|f| f.memory_mib = Some(399)) && !changed(|f| f.memory_mib = Some(513)));
        assert!(!changed(|f| f.memory_mib = None), "not known is no fit");
        assert!(
            !changed(|f| f.mtd.truncate(1))
                && !changed(|f| f.sata_ports = 2)
                && !changed(|f| f.sata_ports = 0)
        );
    }

    #[test]
    fn an_evaluation_boards_string_never_matches_alone() {
        let mut board = builtin::all().remove(0);
        for string in EVALUATION {
            check(&facts("", &[string]), None);
            let compatible = vec![string.to_owned()];
            let mut wanted = Match { compatible, ..Match::default() };
            board.matches = vec![wanted.clone()];
            assert!(select(&[board.clone()], &facts("X", &[string]), None).is_err());
            wanted.model = vec!["X".into()];
            board.matches = vec![wanted];
            assert!(select(&[board.clone()], &facts("X", &[string]), None).is_ok(), "with a model it may");
            assert!(select(&[board.clone()], &facts("Y", &[string]), None).is_err());
        }
    }

    #[test]
    fn a_kernel_without_a_device_tree_is_recognised_by_its_hardware_line() {
        let mut board = builtin::all().remove(0);
        board.matches = vec![Match { hardware: vec!["Comcerto 2000".into()], ..Match::default() }];
        let facts = |line: &str| Facts { hardware: Some(line.into()), ..Facts::default() };
        assert!(select(&[board.clone()], &facts("Comcerto 2000"), None).is_ok());
        assert!(select(&[board], &facts("Generic DT based system"), None).is_err());
    }
}
