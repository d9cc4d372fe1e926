//! The decoder against bytes: any cut into messages gives the same rows, nothing malformed passes or panics.

use arrow::array::{Array, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

fn decoder() -> Decoder {
    let schema = Schema::new(vec![
        Field::new("n", DataType::Int32, true),
        Field::new("t", DataType::Utf8, true),
    ]);
    Decoder::new(Arc::new(schema), &[Decode::Int32, Decode::Text])
}

fn transfer(rows: &[(Option<i32>, Option<&str>)]) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    out.extend([0; 8]);
    for (number, text) in rows {
        out.extend(2_i16.to_be_bytes());
        for value in [
            number.map(|n| n.to_be_bytes().to_vec()),
            text.map(|t| t.as_bytes().to_vec()),
        ] {
            match value {
                None => out.extend((-1_i32).to_be_bytes()),
                Some(bytes) => {
                    out.extend((bytes.len() as i32).to_be_bytes());
                    out.extend(bytes);
                }
            }
        }
    }
    out.extend((-1_i16).to_be_bytes());
    out
}

/// The transfer in messages that end at `cuts`.
fn messages(bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
    let (mut out, mut from) = (Vec::new(), 0);
    for to in cuts.iter().copied().chain([bytes.len()]) {
        out.push(b'd');
        out.extend((to as u32 - from as u32 + 4).to_be_bytes());
        out.extend(&bytes[from..to]);
        from = to;
    }
    out
}

/// All rows of a transfer in messages that end at `cuts`, which come one by one, then all together.
fn decoded(bytes: &[u8], cuts: &[usize]) -> Result<Vec<RecordBatch>, PostgresError> {
    let taken = |chunks: &[Vec<u8>]| {
        let mut decoder = decoder();
        let mut batches = Vec::new();
        for chunk in chunks {
            decoder.messages(chunk)?;
            batches.extend(std::iter::from_fn(|| decoder.next_batch()));
        }
        batches.extend(decoder.finish()?);
        Ok::<_, PostgresError>(batches)
    };
    let ends: Vec<usize> = cuts.iter().copied().chain([bytes.len()]).collect();
    let starts = [0].iter().chain(cuts);
    let each: Vec<_> = starts
        .zip(&ends)
        .map(|(from, to)| messages(&bytes[*from..*to], &[]))
        .collect();
    let one_by_one = taken(&each);
    let together = taken(&[messages(bytes, cuts)]);
    match (one_by_one, together) {
        (Ok(a), Ok(b)) => {
            assert_eq!(a, b);
            Ok(a)
        }
        (Err(error), Err(_)) => Err(error),
        (a, b) => panic!("{a:?} one by one, {b:?} together"),
    }
}

const ROWS: &[(Option<i32>, Option<&str>)] = &[
    (Some(1), Some("naïve")),
    (None, None),
    (Some(i32::MIN), Some("")),
    (Some(-1), Some("\u{1f989}")),
];

#[test]
fn messages_may_end_anywhere() {
    let bytes = transfer(ROWS);
    let whole = decoded(&bytes, &[]).unwrap();
    assert_eq!(whole.len(), 1);
    let numbers = whole[0].column(0).as_any().downcast_ref::<Int32Array>().unwrap();
    let texts = whole[0].column(1).as_any().downcast_ref::<StringArray>().unwrap();
    let rows: Vec<_> = (0..4)
        .map(|i| {
            (
                numbers.is_valid(i).then(|| numbers.value(i)),
                texts.is_valid(i).then(|| texts.value(i)),
            )
        })
        .collect();
    assert_eq!(rows, ROWS);
    for cut in 0..bytes.len() {
        assert_eq!(decoded(&bytes, &[cut]).unwrap(), whole, "cut at {cut}");
    }
    let every: Vec<usize> = (1..bytes.len()).collect();
    assert_eq!(decoded(&bytes, &every).unwrap(), whole);
}

#[test]
fn batches_end_before_they_grow() {
    let rows: Vec<_> = (0..BATCH_ROWS as i32 * 2 + 5).map(|n| (Some(n), None)).collect();
    let sizes = |batches: Vec<RecordBatch>| batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>();
    assert_eq!(
        sizes(decoded(&transfer(&rows), &[]).unwrap()),
        [BATCH_ROWS, BATCH_ROWS, 5]
    );
    let long = "x".repeat(BATCH_BYTES / 2);
    let rows = [(None, Some(long.as_str())); 5];
    assert_eq!(
        sizes(decoded(&transfer(&rows), &[100, 5_000_000]).unwrap()),
        [2, 2, 1]
    );
}

#[test]
fn no_columns_are_still_rows() {
    let mut decoder = Decoder::new(Arc::new(Schema::empty()), &[]);
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([0; 8]);
    bytes.extend([0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    decoder.messages(&messages(&bytes, &[])).unwrap();
    assert_eq!(decoder.finish().unwrap().unwrap().num_rows(), 3);
}

#[test]
fn what_ends_early_or_goes_on_is_refused() {
    let bytes = transfer(ROWS);
    for end in 0..bytes.len() {
        assert!(decoded(&bytes[..end], &[]).is_err(), "ends at {end}");
    }
    assert!(decoded(&[bytes.as_slice(), &[0]].concat(), &[]).is_err());
    assert!(decoded(&[bytes.as_slice(), &[0]].concat(), &[bytes.len()]).is_err());
}

#[test]
fn changed_bytes_never_panic() {
    let bytes = transfer(ROWS);
    let mut random = StdRng::seed_from_u64(7);
    let mut refused = 0;
    for _ in 0..5_000 {
        let mut bytes = bytes.clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        let cut = random.random_range(0..bytes.len());
        refused += usize::from(decoded(&bytes, &[cut]).is_err());
    }
    assert!(refused > 1_000, "{refused}");
}

#[test]
fn a_message_that_is_cut_off_is_refused() {
    let bytes = messages(&transfer(ROWS), &[20, 40]);
    for end in 1..bytes.len() {
        let mut decoder = decoder();
        let read = decoder.messages(&bytes[..end]).and_then(|()| decoder.finish());
        assert!(read.is_err(), "{end}");
    }
}
