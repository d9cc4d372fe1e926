//! The tap against bytes that come in pieces: rows leave by the outlet in their order, all else goes on unchanged.

use futures::StreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncWriteExt, DuplexStream};

use super::*;

fn message(tag: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32 + 4).to_be_bytes();
    [&[tag], &length[..], payload].concat()
}

/// A server's side of the wire, and the tap on ours.
fn tapped() -> (DuplexStream, Tap<DuplexStream>, Outlet) {
    let (server, client) = tokio::io::duplex(16 << 20);
    let outlet = Outlet::default();
    (server, Tap::new(client, outlet.clone()), outlet)
}

/// Payloads of all chunks, one after the other; each chunk knows how many bytes they are.
fn payloads(chunks: &[Chunk]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for chunk in chunks {
        let (mut at, mut sum) = (0, 0);
        while let Some(payload) = next_message(chunk.bytes(), at) {
            at = payload.end;
            sum += payload.len() as u64;
            found.push(chunk.bytes()[payload].to_vec());
        }
        assert_eq!((at, sum), (chunk.bytes().len(), chunk.payload()));
    }
    found
}

#[tokio::test]
async fn rows_leave_and_all_else_goes_on() {
    let mut random = StdRng::seed_from_u64(3);
    for round in 0..60 {
        let (mut server, mut tap, outlet) = tapped();
        let row = |n: usize| vec![n as u8; n * 7919 % (1 << (round % 20))];
        let rows: Vec<Vec<u8>> = (0..300).map(row).collect();
        let (mut sent, mut expected) = (Vec::<u8>::new(), Vec::<u8>::new());
        // Rows outside of a COPY that was announced are the driver's.
        for other in [
            message(b'1', b""),
            message(b'd', b"stray"),
            message(b'H', &[0; 3]),
        ] {
            sent.extend(&other);
            expected.extend(&other);
        }
        for (n, row) in rows.iter().enumerate() {
            sent.extend(message(b'd', row));
            if n % 100 == 50 {
                let notice = message(b'N', &vec![b'n'; n]);
                sent.extend(&notice);
                expected.extend(&notice);
            }
        }
        for other in [
            message(b'c', b""),
            message(b'C', b"COPY 300\0"),
            message(b'Z', b"I"),
            message(b'd', b"late"),
        ] {
            sent.extend(&other);
            expected.extend(&other);
        }
        let chunks = outlet.expect();
        let sending = async {
            let mut rest = sent.as_slice();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(random.random_range(1..=rest.len().min(100_000)));
                server.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
                rest = after;
            }
            drop(server);
        };
        let passed = async {
            let mut passed = Vec::new();
            tap.read_to_end(&mut passed).await.unwrap();
            passed
        };
        let (_sent, passed, chunks) = tokio::join!(sending, passed, chunks.collect::<Vec<_>>());
        assert_eq!(passed, expected);
        assert_eq!(payloads(&chunks), rows);
    }
}

/// A row that is alone does not wait for others; many that are there come together.
#[tokio::test]
async fn a_row_waits_for_others_only_a_moment() {
    let (mut server, mut tap, outlet) = tapped();
    let mut chunks = outlet.expect();
    server.write_all(&message(b'H', b"")).await.unwrap();
    let mut driver = [0; 64];
    assert_eq!(tap.read(&mut driver).await.unwrap(), 5);
    server.write_all(&message(b'd', b"one")).await.unwrap();
    let reading = tap.read(&mut driver);
    tokio::pin!(reading);
    let first = tokio::select! {
        read = &mut reading => panic!("nothing is for the driver: {read:?}"),
        first = chunks.next() => first.unwrap(),
    };
    assert_eq!(payloads(&[first]), [b"one"]);
    let many: Vec<u8> = (0..20_000).flat_map(|_| message(b'd', b"row")).collect();
    server.write_all(&many).await.unwrap();
    let second = tokio::select! {
        read = &mut reading => panic!("nothing is for the driver: {read:?}"),
        second = chunks.next() => second.unwrap(),
    };
    assert!(second.bytes().len() >= CHUNK, "{}", second.bytes().len());
}

/// Where nobody takes rows, no more of them are read; where nobody wants them any more, they are thrown away.
#[tokio::test]
async fn what_is_not_taken_is_not_read() {
    let (mut server, mut tap, outlet) = tapped();
    let chunks = outlet.expect();
    let row = message(b'd', &[7; 1_000]);
    let rows = row.repeat(8_000);
    server.write_all(&message(b'H', b"")).await.unwrap();
    server.write_all(&rows).await.unwrap();
    let mut driver = Vec::new();
    {
        let reading = tap.read_to_end(&mut driver);
        tokio::pin!(reading);
        for _ in 0..1_000 {
            assert!(
                futures::poll!(&mut reading).is_pending(),
                "the driver goes on without its rows"
            );
        }
        let more = vec![0; 32 << 20];
        let Poll::Ready(Ok(room)) = futures::poll!(pin!(server.write(&more))) else {
            panic!("nothing was read")
        };
        // The wire holds 16 MB; what it has room for beyond the rest of the rows was read.
        assert!(room + rows.len() < (16 << 20) + 4 * READ, "{room}");
        drop(chunks);
        drop(server);
        reading.await.unwrap();
    }
    assert!(driver.starts_with(&message(b'H', b"")));
}
