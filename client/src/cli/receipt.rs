//! The receipt as people read it: one line, then its notices.

use owlake_proto::v1::{QueryReceipt, QueryState, StatementType};

use super::size::ByteSize;

const PICOS_PER_USD: u128 = 1_000_000_000_000;
const PICOS_PER_MICRO: u128 = 1_000_000;

/// One line: rows, bytes, requests, money, time. Parts that say nothing are left out.
pub fn receipt_text(receipt: &QueryReceipt) -> String {
    let mut parts = Vec::new();
    let is_query = receipt.statement_type() == StatementType::Dml || receipt.rows_returned > 0;
    if is_query {
        parts.push(counted(receipt.rows_returned, "row"));
    }
    let counters = receipt.counters.unwrap_or_default();
    if is_query || counters.data_scanned_bytes > 0 {
        parts.push(scanned(receipt));
    }
    parts.extend(requests(receipt));
    parts.extend(cost(receipt));
    parts.extend(elapsed(receipt));
    let state = match receipt.state() {
        QueryState::Failed => " (failed)",
        QueryState::Cancelled => " (cancelled)",
        QueryState::Unspecified | QueryState::Queued | QueryState::Running | QueryState::Succeeded => "",
    };
    format!("Receipt {}{state}: {}", receipt.query_id, parts.join(", "))
}

fn scanned(receipt: &QueryReceipt) -> String {
    let counters = receipt.counters.unwrap_or_default();
    let mut text = format!("scanned {}", ByteSize(counters.data_scanned_bytes));
    let sum = |of: fn(&owlake_proto::v1::TableScan) -> u64| receipt.scans.iter().map(of).sum::<u64>();
    let mut details = Vec::new();
    for (read, total, what) in [
        (
            sum(|scan| scan.partitions_read),
            sum(|scan| scan.partitions_total),
            "partition",
        ),
        (sum(|scan| scan.files_read), sum(|scan| scan.files_total), "file"),
    ] {
        if total > 0 {
            details.push(format!("{} of {}", grouped(read), counted(total, what)));
        }
    }
    if counters.cached_bytes > 0 {
        details.push(format!("{} from cache", ByteSize(counters.cached_bytes)));
    }
    if !receipt.reused_query_id.is_empty() {
        details.push(format!("result of {} reused", receipt.reused_query_id));
    }
    if receipt.timing_dependent {
        details.push("depends on timing".to_owned());
    }
    if !details.is_empty() {
        text.push_str(&format!(" ({})", details.join(", ")));
    }
    text
}

fn requests(receipt: &QueryReceipt) -> Option<String> {
    let counters = receipt.counters.unwrap_or_default();
    let kinds = [
        (counters.get_requests, "GET"),
        (counters.head_requests, "HEAD"),
        (counters.list_requests, "LIST"),
        (counters.put_requests, "PUT"),
    ];
    let made: Vec<_> = kinds
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, name)| format!("{} {name}", grouped(*n)))
        .collect();
    let retried = match counters.retried_requests {
        0 => String::new(),
        n => format!(" ({} retried)", grouped(n)),
    };
    (!made.is_empty()).then(|| made.join(" + ") + &retried)
}

fn cost(receipt: &QueryReceipt) -> Option<String> {
    if receipt.cost_usd.is_empty() {
        return None;
    }
    let own = format!("{} USD", money(&receipt.cost_usd));
    if receipt.athena_cost_usd.is_empty() {
        return Some(own);
    }
    Some(format!("{own} (Athena: {} USD)", money(&receipt.athena_cost_usd)))
}

/// Six digits after the point; smaller amounts are shown in full rather than as zero. Text that is no amount is shown
/// as it is.
fn money(decimal: &str) -> String {
    let Some(picos) = picos(decimal) else {
        return decimal.to_owned();
    };
    if picos != 0 && picos < PICOS_PER_MICRO {
        let text = format!("0.{picos:012}");
        return text.trim_end_matches('0').to_owned();
    }
    let micros = (picos + PICOS_PER_MICRO / 2) / PICOS_PER_MICRO;
    format!("{}.{:06}", grouped_wide(micros / 1_000_000), micros % 1_000_000)
}

fn picos(decimal: &str) -> Option<u128> {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    if fraction.len() > 12 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let whole: u128 = whole.parse::<u64>().ok()?.into();
    let fraction: u128 = format!("{fraction:0<12}").parse().ok()?;
    Some(whole * PICOS_PER_USD + fraction)
}

fn elapsed(receipt: &QueryReceipt) -> Option<String> {
    let total = receipt.total_time.as_ref()?;
    let seconds = u64::try_from(total.seconds).ok()?;
    let millis = u64::try_from(total.nanos).ok()? / 1_000_000;
    Some(duration(seconds * 1_000 + millis))
}

/// `84 ms`, `12.3 s`, `4 min 5 s`.
pub(crate) fn duration(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => format!("{} min {} s", grouped(millis / 60_000), millis / 1_000 % 60),
    }
}

fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    grouped_wide(number.into())
}

fn grouped_wide(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use owlake_proto::v1::{Counters, TableScan};

    fn receipt() -> QueryReceipt {
        QueryReceipt {
            query_id: "0193".into(),
            state: QueryState::Succeeded.into(),
            statement_type: StatementType::Dml.into(),
            rows_returned: 3,
            counters: Some(Counters {
                data_scanned_bytes: 12_400_000,
                get_requests: 4,
                list_requests: 1,
                ..Counters::default()
            }),
            scans: vec![TableScan {
                partitions_total: 3_652,
                partitions_read: 4,
                files_total: 4,
                files_read: 4,
                ..TableScan::default()
            }],
            cost_usd: "0.000007000000".into(),
            athena_cost_usd: "0.000062000000".into(),
            total_time: Some(prost_types::Duration {
                seconds: 0,
                nanos: 84_900_000,
            }),
            ..QueryReceipt::default()
        }
    }

    #[test]
    fn a_query_reads_as_one_line() {
        assert_eq!(
            receipt_text(&receipt()),
            "Receipt 0193: 3 rows, scanned 12.40 MB (4 of 3,652 partitions, 4 of 4 files), 4 GET + 1 LIST, \
             0.000007 USD (Athena: 0.000062 USD), 84 ms"
        );
    }

    #[test]
    fn parts_that_say_nothing_are_left_out() {
        let ddl = QueryReceipt {
            query_id: "q".into(),
            statement_type: StatementType::Ddl.into(),
            total_time: Some(prost_types::Duration {
                seconds: 1,
                nanos: 250_000_000,
            }),
            ..QueryReceipt::default()
        };
        assert_eq!(receipt_text(&ddl), "Receipt q: 1.2 s");
        let constant = QueryReceipt {
            rows_returned: 1,
            counters: Some(Counters::default()),
            scans: Vec::new(),
            athena_cost_usd: String::new(),
            cost_usd: "0".into(),
            ..receipt()
        };
        assert_eq!(
            receipt_text(&constant),
            "Receipt 0193: 1 row, scanned 0 bytes, 0.000000 USD, 84 ms"
        );
    }

    #[test]
    fn failures_retries_caches_and_timing_are_said() {
        let mut receipt = receipt();
        receipt.state = QueryState::Cancelled.into();
        receipt.timing_dependent = true;
        receipt.scans.clear();
        if let Some(counters) = &mut receipt.counters {
            counters.cached_bytes = 2_000;
            counters.retried_requests = 2;
            counters.head_requests = 1_000;
        }
        let text = receipt_text(&receipt);
        assert!(text.starts_with("Receipt 0193 (cancelled): "), "{text}");
        assert!(text.contains("(2.00 kB from cache, depends on timing)"), "{text}");
        assert!(text.contains("4 GET + 1,000 HEAD + 1 LIST (2 retried)"), "{text}");
        receipt.reused_query_id = "0192".into();
        let text = receipt_text(&receipt);
        assert!(text.contains("result of 0192 reused"), "{text}");
    }

    #[test]
    fn money_is_never_rounded_to_nothing() {
        for (decimal, text) in [
            ("0.000000000000", "0.000000"),
            ("0.000000005000", "0.000000005"),
            ("0.000000999999", "0.000000999999"),
            ("0.000001499999", "0.000001"),
            ("0.000001500000", "0.000002"),
            ("12345.6", "12,345.600000"),
            ("n/a", "n/a"),
            ("0.1234567890123", "0.1234567890123"),
        ] {
            assert_eq!(money(decimal), text);
        }
    }

    #[test]
    fn durations_have_readable_units() {
        for (millis, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (12_345, "12.3 s"),
            (245_000, "4 min 5 s"),
        ] {
            assert_eq!(duration(millis), text);
        }
    }
}
