//! Which of several clocks is the box's own. A core. Boards have up to three: one on the processor that loses the time
//! without power, and one with a battery behind it.

/// The position of the clock to trust among the driver names found: the first that the board names, else the one the kernel
/// set its own clock from, else the only one.
pub fn choose(found: &[(&str, bool)], wanted: &[String]) -> Option<usize> {
    let named = |name: &String| found.iter().position(|(n, _)| is_same(n, name));
    wanted
        .iter()
        .find_map(named)
        .or_else(|| found.iter().position(|(_, sets_clock)| *sets_clock))
        .or((found.len() == 1).then_some(0))
}

/// Drivers print their name alone or with the device behind a blank: `rtc-isl12057 0-0068`.
fn is_same(found: &str, wanted: &str) -> bool {
    found.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_decides_then_the_kernel_then_there_is_one() {
        let two = [("soc-rtc f1018500.rtc", true), ("pcf8563 0-0051", false)];
        assert_eq!(choose(&two, &["pcf8563".into()]), Some(1));
        assert_eq!(choose(&two, &["pcf8563x".into(), "soc-rtc".into()]), Some(0));
        assert_eq!(choose(&two, &["pcf".into()]), Some(0), "half a name is no name");
        assert_eq!(choose(&two, &[]), Some(0));
        assert_eq!(choose(&[("a", false), ("b", false)], &[]), None);
        assert_eq!(choose(&[("a", false)], &[]), Some(0));
        assert_eq!(choose(&[], &["a".into()]), None);
    }
}
