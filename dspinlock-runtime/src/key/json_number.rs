//! The numbers of `serde_json`, if any dependency of the program turns its feature `arbitrary_precision` on. They are then
//! serialized as a struct with a text, and must have the key and the bytes that they have without the feature. `canonical` and
//! the codec call this module.

/// The name of the struct and of its only field.
pub(crate) const NAME: &str = "$serde_json::private::Number";

/// A number in the type in which `serde_json` serializes it without the feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

/// The number of a JSON text. `None` if it fits none of the types exactly: then the text itself must be kept.
pub(crate) fn parse(text: &str) -> Option<Number> {
    if let Ok(number) = text.parse() {
        return Some(Number::Unsigned(number));
    }
    match text.parse() {
        // JSON has a negative zero, which integers do not have.
        Ok(0) | Err(_) => {}
        Ok(number) => return Some(Number::Signed(number)),
    }
    let number: f64 = text.parse().ok()?;
    let is_exact = number.is_finite() && decimal(text)? == decimal(&format!("{number:e}"))?;
    is_exact.then_some(Number::Float(number))
}

/// The sign, the digits without zeros at both ends, and the exponent of a decimal number. Equal numbers are equal here.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let short = digits.trim_end_matches('0');
    let zeros = (digits.len() - short.len()) as i64;
    let digits = short.trim_start_matches('0').to_owned();
    let exponent = exponent.parse::<i64>().ok()?.checked_sub(fraction.len() as i64)?;
    let exponent = if digits.is_empty() {
        0
    } else {
        exponent.checked_add(zeros)?
    };
    Some((is_negative, digits, exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_type_that_it_has_without_the_feature() {
        for (text, number) in [
            ("0", Number::Unsigned(0)),
            ("18446744073709551615", Number::Unsigned(u64::MAX)),
            ("-1", Number::Signed(-1)),
            ("-9223372036854775808", Number::Signed(i64::MIN)),
            ("1.0", Number::Float(1.0)),
            ("0.10", Number::Float(0.1)),
            ("-1.5E+3", Number::Float(-1500.0)),
            ("1e23", Number::Float(1e23)),
            ("100000000000000000000", Number::Float(1e20)),
            ("5e-324", Number::Float(5e-324)),
            ("0e999999", Number::Float(0.0)),
        ] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
        let zero = parse("-0");
        assert!(
            matches!(zero, Some(Number::Float(zero)) if zero.is_sign_negative()),
            "{zero:?}"
        );
    }

    #[test]
    fn a_number_with_more_digits_than_a_float_remains_a_text() {
        for text in [
            "0.10000000000000000001",
            "18446744073709551617",
            "-9223372036854775809",
            "1e400",
            "1e-400",
            "1e99999999999999999999",
            "",
            "one",
            "inf",
            "NaN",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
