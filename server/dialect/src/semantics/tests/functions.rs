//! Functions, with NULLs and edges.

use super::{check, rows};

#[test]
fn text_functions() {
    check(&[
        ("substr('hello', 2, 3)", "ell"),
        ("substring('hello', 2)", "ello"),
        ("substring('hello' FROM 2 FOR 2)", "el"),
        ("substr('hello', -9)", ""),
        ("substr('hello', 9)", ""),
        ("substr('hello', NULL)", "NULL"),
        ("length('h\u{e9}')", "2"),
        ("lower('ABC')", "abc"),
        ("upper(5)", "!TYPE_MISMATCH"),
        ("strpos('high', 'h', 2)", "4"),
        ("strpos('high', 'h', -1)", "4"),
        ("strpos('high', 'x')", "0"),
        ("position('g' IN 'high')", "3"),
        ("lpad('x', 3, 'ab')", "abx"),
        ("rpad('hello', 2, 'x')", "he"),
        ("lpad('x', 2000000000, 'a')", "!INVALID_FUNCTION_ARGUMENT"),
        ("trim('  a ')", "a"),
        ("trim(LEADING 'x' FROM 'xxa')", "a"),
        ("ltrim('  a')", "a"),
        ("rtrim('a  ')", "a"),
        ("split('a,b,c', ',')", "[a, b, c]"),
        ("split('a,b,c', ',', 2)", "[a, b,c]"),
        ("split_part('a,b', ',', 2)", "b"),
        ("split_part('a,b', ',', 3)", "NULL"),
        ("split_part('a,b', ',', 0)", "!INVALID_FUNCTION_ARGUMENT"),
        ("replace('aXa', 'X')", "aa"),
        ("translate('abcd', 'ab', 'x')", "xcd"),
        ("reverse('abc')", "cba"),
        ("concat_ws(',', 'a', NULL, 'b')", "a,b"),
        ("chr(65)", "A"),
        ("codepoint('A')", "65"),
        ("starts_with('abc', 'ab')", "true"),
        ("levenshtein_distance('kitten', 'sitting')", "3"),
        ("hamming_distance('ab', 'ac')", "1"),
    ]);
}

#[test]
fn regular_expressions() {
    check(&[
        ("regexp_like('1a 2b', '\\d+b')", "true"),
        ("regexp_extract('1a 2b', '\\d+')", "1"),
        ("regexp_extract('1a 2b', '(\\d+)([a-z]+)', 2)", "a"),
        ("regexp_extract('x', '\\d')", "NULL"),
        ("regexp_extract('x', 'x', 1)", "!INVALID_FUNCTION_ARGUMENT"),
        ("regexp_extract_all('1a 2b', '\\d')", "[1, 2]"),
        ("regexp_split('a1b2c', '\\d')", "[a, b, c]"),
        ("regexp_count('aXbX', 'X')", "2"),
        ("regexp_replace('1a 2b', '(\\d)([ab])', '$2$1')", "a1 b2"),
        ("regexp_replace('aXb', 'X')", "ab"),
        ("regexp_replace('ab', '(a)', '$2')", "!INVALID_FUNCTION_ARGUMENT"),
        ("regexp_like('ab', 'a(?=b)')", "!NOT_SUPPORTED"),
        ("regexp_like('aa', '(a)\\1')", "!NOT_SUPPORTED"),
        ("regexp_like('\u{663}', '\\d')", "false"),
        ("regexp_like('a', '(')", "!INVALID_FUNCTION_ARGUMENT"),
    ]);
}

#[test]
fn arrays_and_maps() {
    check(&[
        ("ARRAY[1,2,3][2]", "2"),
        ("ARRAY[1,2,3][0]", "!INVALID_FUNCTION_ARGUMENT"),
        ("ARRAY[1,2,3][4]", "!INVALID_FUNCTION_ARGUMENT"),
        ("ARRAY[1,2,3][-1]", "!INVALID_FUNCTION_ARGUMENT"),
        ("MAP(ARRAY['a'], ARRAY[1])['a']", "1"),
        ("MAP(ARRAY['a'], ARRAY[1])['b']", "!INVALID_FUNCTION_ARGUMENT"),
        ("cardinality(MAP(ARRAY['a'], ARRAY[1]))", "1"),
        ("map_keys(MAP(ARRAY['a','b'], ARRAY[1,2]))", "[a, b]"),
        ("map_values(MAP(ARRAY['a','b'], ARRAY[1,2]))", "[1, 2]"),
        ("element_at(ARRAY[1], 0)", "!INVALID_FUNCTION_ARGUMENT"),
        ("slice(ARRAY[1,2,3,4], 2, 2)", "[2, 3]"),
        ("slice(ARRAY[1,2,3,4], -2, 2)", "[3, 4]"),
        ("sequence(1, 3)", "[1, 2, 3]"),
        ("sequence(3, 1)", "[3, 2, 1]"),
        ("sequence(1, 7, 3)", "[1, 4, 7]"),
        ("sequence(1, 100000)", "!INVALID_FUNCTION_ARGUMENT"),
        ("repeat('x', 3)", "[x, x, x]"),
        ("repeat(1, 1000000000)", "!INVALID_FUNCTION_ARGUMENT"),
        ("array_distinct(ARRAY[1,2,1,NULL,NULL])", "[1, 2, NULL]"),
        ("array_max(ARRAY[1,3,2])", "3"),
        ("array_min(ARRAY[1,NULL])", "NULL"),
        ("array_join(ARRAY[1,NULL,3], '-')", "1-3"),
        ("array_join(ARRAY[1,NULL,3], '-', '?')", "1-?-3"),
        ("array_remove(ARRAY[1,2,1], 1)", "[2]"),
        ("arrays_overlap(ARRAY[1,2], ARRAY[2,3])", "true"),
        ("arrays_overlap(ARRAY[1,NULL], ARRAY[2])", "NULL"),
        ("array_union(ARRAY[1,2], ARRAY[2,3])", "[1, 2, 3]"),
        ("array_intersect(ARRAY[1,2], ARRAY[2,3])", "[2]"),
        ("array_except(ARRAY[1,2], ARRAY[2,3])", "[1]"),
        ("flatten(ARRAY[ARRAY[1],ARRAY[2,3]])", "[1, 2, 3]"),
        ("contains(ARRAY['a'], 1)", "!TYPE_MISMATCH"),
        ("contains(NULL, 1)", "NULL"),
        ("transform(ARRAY[1], x -> x + 1)", "!NOT_SUPPORTED"),
    ]);
}

#[test]
fn dates_and_times() {
    check(&[
        ("year(DATE '2022-10-20')", "2022"),
        ("quarter(DATE '2022-10-20')", "4"),
        ("week(DATE '2021-01-03')", "53"),
        ("year_of_week(DATE '2021-01-03')", "2020"),
        ("day_of_year(DATE '2022-02-01')", "32"),
        ("hour(TIMESTAMP '2022-10-20 05:10:07')", "5"),
        ("millisecond(TIMESTAMP '2022-10-20 05:10:07.123')", "123"),
        ("extract(year FROM TIMESTAMP '2022-10-20 05:10:07')", "2022"),
        ("year('2022-10-20')", "!TYPE_MISMATCH"),
        (
            "CAST(date_trunc('hour', TIMESTAMP '2022-10-20 05:10:07') AS varchar)",
            "2022-10-20 05:00:00",
        ),
        ("date_trunc('week', DATE '2022-10-20')", "2022-10-17"),
        (
            "date_trunc('hour', DATE '2022-10-20')",
            "!INVALID_FUNCTION_ARGUMENT",
        ),
        ("date_add('month', 1, DATE '2020-01-31')", "2020-02-29"),
        ("date_add('day', -1, DATE '2020-01-01')", "2019-12-31"),
        ("date_diff('day', DATE '2020-01-01', DATE '2020-03-01')", "60"),
        ("date_diff('month', DATE '2020-01-31', DATE '2020-02-29')", "1"),
        ("date_diff('month', DATE '2020-01-15', DATE '2020-02-14')", "0"),
        (
            "date_diff('hour', TIMESTAMP '2020-01-01 00:00:00', TIMESTAMP '2020-01-01 01:59:59')",
            "1",
        ),
        ("date_diff('year', DATE '2021-01-01', DATE '2020-01-01')", "-1"),
        ("last_day_of_month(DATE '2020-02-03')", "2020-02-29"),
        (
            "CAST(date_parse('2020-05-01 10:11:12', '%Y-%m-%d %H:%i:%s') AS varchar)",
            "2020-05-01 10:11:12.000",
        ),
        (
            "CAST(date_parse('May 1, 20 3 PM', '%M %e, %y %l %p') AS varchar)",
            "2020-05-01 15:00:00.000",
        ),
        ("date_parse('x', '%Y')", "!INVALID_FUNCTION_ARGUMENT"),
        ("date_parse('2020', '%U')", "!INVALID_FUNCTION_ARGUMENT"),
        (
            "date_format(DATE '2020-05-01', '%a %b %e %y %j %p %%')",
            "Fri May 1 20 122 AM %",
        ),
        ("from_iso8601_date('2020-05-01')", "2020-05-01"),
        ("to_iso8601(DATE '2020-05-01')", "2020-05-01"),
        ("year(now()) >= 2024", "true"),
        ("typeof(now())", "timestamp(3) with time zone"),
        ("typeof(current_timestamp)", "timestamp(3) with time zone"),
        ("typeof(current_date)", "date"),
        ("current_date > DATE '2020-01-01'", "true"),
        ("current_timestamp > TIMESTAMP '2020-01-01 00:00:00'", "true"),
    ]);
}

#[test]
fn numbers() {
    check(&[
        ("round(2.5E0)", "3.0"),
        ("round(-2.5E0)", "-3.0"),
        ("round(2.567E0, 2)", "2.57"),
        ("CAST(round(2.55, 1) AS varchar)", "2.60"),
        ("round(155, -1)", "160"),
        ("CAST(ceiling(2.1) AS varchar)", "3"),
        ("CAST(floor(-2.1) AS varchar)", "-3"),
        ("CAST(truncate(-2.9) AS varchar)", "-2"),
        ("truncate(2.9E0)", "2.0"),
        ("sign(-5)", "-1"),
        ("abs(-5)", "5"),
        ("power(2, 3)", "8.0"),
        ("sqrt(16)", "4.0"),
        ("mod(5.5, 2)", "1.5"),
        ("bitwise_and(6, 3)", "2"),
        ("bitwise_xor(6, 3)", "5"),
        ("bitwise_not(0)", "-1"),
        ("bit_count(-1, 64)", "64"),
        ("width_bucket(5.0, 0, 10, 5)", "3"),
        ("from_base('ff', 16)", "255"),
        ("to_base(255, 16)", "ff"),
        ("is_nan(nan())", "true"),
        ("is_finite(infinity())", "false"),
        ("typeof(e())", "double"),
        ("greatest(1, 2.5)", "2.5"),
        ("greatest(1, 'a')", "!TYPE_MISMATCH"),
        ("greatest(nan(), 1E0)", "1.0"),
    ]);
}

#[test]
fn bytes_urls_and_json() {
    check(&[
        ("to_hex(from_hex('0aFF'))", "0AFF"),
        ("from_hex('0')", "!INVALID_FUNCTION_ARGUMENT"),
        ("to_base64(to_utf8('hello'))", "aGVsbG8="),
        ("from_utf8(from_base64('aGVsbG8='))", "hello"),
        ("crc32(to_utf8('123456789'))", "3421780262"),
        (
            "url_extract_host('https://u@example.com:8080/a/b?x=1#f')",
            "example.com",
        ),
        ("url_extract_port('https://example.com:8080/a')", "8080"),
        ("url_extract_path('https://example.com/a%20b')", "/a b"),
        ("url_extract_query('https://example.com/a?x=1')", "x=1"),
        ("url_extract_fragment('https://example.com/a#f')", "f"),
        ("url_extract_protocol('https://example.com')", "https"),
        ("url_extract_parameter('http://e.com/?a=1&b=2', 'b')", "2"),
        ("url_encode('a b&c')", "a+b%26c"),
        ("url_decode('a+b%26c')", "a b&c"),
        (
            r#"json_extract_scalar('{"a":{"b":[1,2.50]}}', '$.a.b[1]')"#,
            "2.50",
        ),
        (r#"json_extract_scalar('{"a":{"b":1}}', '$.a')"#, "NULL"),
        (r#"json_extract_scalar('not json', '$.a')"#, "NULL"),
        (r#"json_extract_scalar('{"a b":1}', '$["a b"]')"#, "1"),
        (r#"json_extract_scalar('{"a":[1]}', '$.a[*]')"#, "!NOT_SUPPORTED"),
        ("json_array_length('[1,2,3]')", "3"),
        ("json_array_length('{}')", "NULL"),
        ("json_array_contains('[1,2,3]', 2)", "true"),
        (r#"json_size('{"x":{"a":1,"b":2}}', '$.x')"#, "2"),
        ("is_json_scalar('1')", "true"),
    ]);
}

#[test]
fn refused_names_are_not_callable_and_sorted() {
    let set = crate::functions::function_set();
    let names = set.names();
    for (name, reason) in set.refused {
        assert!(
            !names.iter().any(|n| n == name),
            "{name} is both offered and refused"
        );
        assert!(!reason.is_empty(), "{name}");
    }
    assert!(
        names.iter().all(|n| !n.starts_with('$')),
        "operators cannot be named"
    );
    assert!(set.refused.is_sorted_by_key(|(name, _)| *name));
}

#[test]
fn unknown_names_tell_known_ones() {
    let fault = rows("SELECT uper('a')").unwrap_err();
    assert_eq!(
        fault.to_string(),
        "FUNCTION_NOT_FOUND: Function 'uper' not registered. Did you mean 'upper'?"
    );
    check(&[
        ("listagg('a')", "!NOT_SUPPORTED"),
        ("array_to_string(ARRAY[1], ',')", "!FUNCTION_NOT_FOUND"),
        ("to_char(DATE '2020-01-01', 'YYYY')", "!FUNCTION_NOT_FOUND"),
        ("arrow_cast(1, 'Utf8')", "!FUNCTION_NOT_FOUND"),
        ("make_array(1)", "!FUNCTION_NOT_FOUND"),
        ("generate_series(1, 3)", "!FUNCTION_NOT_FOUND"),
    ]);
}
