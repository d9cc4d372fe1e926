//! Texts: where `$` is, letters that are as much as several, upper and lower case.

use super::{check, value};

#[test]
fn the_end_of_a_pattern_is_before_a_last_newline_and_takes_nothing() {
    let line = "'k' || chr(10)";
    for (expression, expected) in [
        ("regexp_like({}, '^k$')", "true"),
        ("regexp_like({} || chr(10), '^k$')", "false"),
        ("regexp_extract({}, 'k$') = 'k'", "true"),
        ("regexp_extract({}, '(k$)', 1) = 'k'", "true"),
        ("regexp_extract({}, '(?s)k$.') = {}", "true"),
        ("regexp_extract({}, 'k$\\s*') = {}", "true"),
        ("regexp_extract({}, '(?s).*$') = {}", "true"),
        ("regexp_extract({}, '(?s).*?$') = 'k'", "true"),
        ("regexp_extract({}, '[^x]*$') = {}", "true"),
        ("regexp_like({}, '^k\\n$')", "true"),
        ("regexp_like({}, '^k$\\n$')", "true"),
        ("regexp_like({}, '^k\\z')", "false"),
        ("regexp_like({}, '^[\\x00-\\x08k]+$')", "true"),
        ("regexp_like(chr(0) || {}, '^\\x00k$')", "true"),
        ("regexp_like({}, 'k\\x00')", "false"),
        ("regexp_like({}, 'k.$')", "false"),
        ("regexp_replace({}, 'k$', 'z') = 'z' || chr(10)", "true"),
        ("regexp_replace({}, '$', '!') = 'k!' || chr(10) || '!'", "true"),
        ("regexp_split({}, '$')[2] = chr(10)", "true"),
        ("cardinality(regexp_split({}, '$'))", "3"),
        ("regexp_position({}, '$')", "2"),
        ("regexp_count({}, '$')", "2"),
        ("cardinality(regexp_extract_all({}, '$'))", "2"),
        ("element_at(regexp_extract_all({}, 'k$'), 1) = 'k'", "true"),
    ] {
        check(&[(&expression.replace("{}", line), expected)]);
    }
}

#[test]
fn an_empty_match_may_follow_another() {
    check(&[
        ("regexp_replace('abc', '\\w*', 'X')", "XX"),
        ("regexp_replace('abc', 'x*', '-')", "-a-b-c-"),
        ("regexp_count('abc', '\\w*')", "2"),
        ("regexp_count('', 'x*')", "1"),
        ("regexp_extract_all('ab1', '[a-z]*')", "[ab, , ]"),
        ("regexp_split('abc', '')", "[, a, b, c, ]"),
    ]);
}

#[test]
fn one_letter_is_as_much_as_several_where_case_does_not_count() {
    check(&[
        ("regexp_like('MASSE', '(?i)maße')", "true"),
        ("regexp_like('maße', '(?i)MASSE')", "true"),
        ("regexp_like('MAẞE', '(?i)masse')", "true"),
        ("regexp_like('maße', 'masse')", "false"),
        ("regexp_extract('o\u{fb03}ce', '(?i)OFFICE') IS NOT NULL", "true"),
        ("regexp_like('office', '(?i)o\u{fb03}ce')", "true"),
        ("regexp_like('Buße', '(?i:BUSS)e')", "true"),
        ("regexp_like('BUßE', '(?i:buss)e')", "false"),
        ("regexp_like('sss', '(?i)^sß$')", "true"),
        ("regexp_like('ßs', '(?i)^sß$')", "true"),
        // The letter before a quantifier is a piece of its own.
        ("regexp_like('ß', '(?i)^ss+$')", "false"),
        ("regexp_like('ssSS', '(?i)^ß+$')", "true"),
        ("regexp_like('straße', '(?i)^[a-zß]+$')", "true"),
        ("regexp_like('ss', '(?i)^[ß]$')", "!NOT_SUPPORTED"),
        ("regexp_like('ss', '(?i)^[^ß]$')", "!NOT_SUPPORTED"),
        ("regexp_like('ss', '(?i)^[Ä-ÿ]+$')", "!NOT_SUPPORTED"),
        ("regexp_like('ß', '^[Ä-ÿ]+$')", "true"),
        ("regexp_like('X', '(?im)x$')", "!NOT_SUPPORTED"),
        ("regexp_like('aB', '(?i)a(?-i)b')", "false"),
        ("regexp_like('{\"a\"', '^{\"')", "true"),
        ("regexp_like('AAA', '^\\x{41}+\\x41\\u0041$')", "true"),
        ("regexp_like('A', '\\xZZ')", "!INVALID_FUNCTION_ARGUMENT"),
        ("regexp_like('aa', '^a{2}$')", "true"),
        ("regexp_like('a{,2}', '^a{,2}$')", "true"),
    ]);
}

#[test]
fn a_letter_has_one_upper_and_one_lower_case() {
    check(&[
        ("upper('\u{1fa0}\u{df}')", "\u{1fa8}\u{df}"),
        ("lower('\u{130}')", "i"),
        ("length(lower('\u{130}'))", "1"),
        ("trim(BOTH 'x' FROM 'xax')", "a"),
        ("btrim('xax', 'x')", "!FUNCTION_NOT_FOUND"),
    ]);
    assert!(
        value("btrim('a')")
            .unwrap_err()
            .to_string()
            .contains("Function 'btrim' not registered")
    );
}
