//! What the values of the microcontroller mean. A core.
//!
//! The thermometer is an NTC resistor below a fixed one of the same nominal value, read with eight bits. mcm-daemon has a
//! table of 204 entries for it. Between 24 and 76 °C that is the curve of an NTC of B = 3435 K to within 1 °C, which is what
//! is computed here. Outside it is not a resistor's curve: above, it is a straight line up to 116 °C; below, nine entries
//! stand twice (the 132nd says 37 °C amid 23 °C), which makes all that follow 3 to 4 °C too high.

use crate::units::MilliCelsius;

/// The coldest and the hottest value that are believed: beyond them the wire is broken or shorted.
const FIRST: u8 = 16;
/// Points of [`CURVE`] are this far apart.
const STEP: u8 = 4;
/// Tenths of a degree at 16, 20, 24… of 256: 1 / (1/298.15 K + ln(v / (256 - v)) / 3435 K).
const CURVE: [i16; 56] = [
    1166, 1063, 981, 913, 856, 806, 761, 721, 685, 651, 620, 591, 564, 539, //
    514, 491, 469, 448, 427, 408, 388, 370, 352, 334, 316, 299, 283, 266, //
    250, 234, 218, 202, 186, 171, 155, 139, 123, 108, 92, 75, 59, 42, //
    25, 8, -10, -28, -47, -66, -87, -108, -131, -155, -181, -209, -241, -276,
];

/// Turns a minute that no fan of such a box reaches.
const RPM_MAX: u32 = 10_000;

/// The temperature; `None` for a value that no thermometer gives.
pub fn temperature(value: u8) -> Option<MilliCelsius> {
    let above = value.checked_sub(FIRST)?;
    let at = |n: u8| CURVE.get(usize::from(n)).map(|tenths| i32::from(*tenths));
    let low = at(above / STEP)?;
    let part = above % STEP;
    let high = if part == 0 { low } else { at(above / STEP + 1)? };
    // 100 mK a tenth, a quarter of the way for each value.
    Some(MilliCelsius(low * 100 + (high - low) * 25 * i32::from(part)))
}

/// Turns a minute: 300000 by the value, which is the time of a turn. `None` for a fan that stands or a value that no fan gives.
/// On some boxes it never says anything sensible (StatErik/mcm-fancontrol, README), so it is told as unreliable.
pub const fn rpm(value: u8) -> Option<u32> {
    match 300_000u32.checked_div(value as u32) {
        Some(rpm) if rpm <= RPM_MAX => Some(rpm),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_that_of_the_resistor() {
        for value in 16..=236u8 {
            let v = f64::from(value);
            let kelvin = 1.0 / (1.0 / 298.15 + (v / (256.0 - v)).ln() / 3435.0);
            let found = temperature(value).unwrap().degrees();
            assert!((found - (kelvin - 273.15)).abs() < 0.4, "{value}: {found}");
        }
    }

    /// Values and degrees of the maker's table, as facts; where it is no resistor's curve, how far it is off.
    #[test]
    fn it_agrees_with_the_makers_table_where_that_is_sound() {
        for (value, table, off) in [
            (40, 76, 1.0),
            (51, 65, 1.0),
            (62, 58, 1.0),
            (80, 47, 1.0),
            (95, 39, 1.0),
            (101, 36, 1.0),
            (110, 32, 1.0),
            (120, 28, 1.0),
            (128, 25, 1.0),
            (20, 96, 11.0),
            (132, 23, 1.0),
            (150, 20, 4.0),
            (196, 0, 5.0),
        ] {
            let found = temperature(value).unwrap().degrees();
            assert!((found - f64::from(table)).abs() <= off, "{value}: {found}, {table}");
        }
    }

    #[test]
    fn warmer_is_always_a_smaller_value() {
        let all: Vec<i32> = (16..=236).map(|v| temperature(v).unwrap().0).collect();
        assert!(all.is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn a_broken_or_shorted_wire_is_no_temperature() {
        assert_eq!([0, 15, 237, 255].map(temperature), [None; 4]);
    }

    #[test]
    fn a_standing_fan_divides_nothing() {
        assert_eq!([0, 1, 29].map(rpm), [None; 3]);
        assert_eq!([30, 100, 255].map(rpm), [Some(10_000), Some(3000), Some(1176)]);
    }
}
