//! Real sockets: what is said of each write is what its client got, in a ring and without.

use super::Volley;
use std::io::{ErrorKind, Read, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// So many connections: the ends that write, which never wait, and those that read.
fn pairs(count: usize) -> (Vec<UnixStream>, Vec<UnixStream>) {
    let pair = |_| {
        let (writer, reader) = UnixStream::pair().expect("a connection");
        writer.set_nonblocking(true).expect("a socket that does not wait");
        (writer, reader)
    };
    (0..count).map(pair).unzip()
}

/// Both ways, as far as there are two here.
fn volleys() -> Vec<Volley> {
    let together = Volley::together();
    if let Err(error) = &together {
        println!("only one by one: {error}");
    }
    std::iter::once(Volley::one_by_one()).chain(together).collect()
}

#[test]
fn each_gets_its_own_and_all_of_it() {
    for mut volley in volleys() {
        let (writers, mut readers) = pairs(60);
        // More than there is room for, so that each socket gets several, in their order.
        let texts: Vec<String> = (0..2 * volley.room() + 100).map(|number| format!("{number};")).collect();
        let sockets = writers.iter().map(AsFd::as_fd).cycle();
        let became = volley.send(&sockets.zip(texts.iter().map(String::as_bytes)).collect::<Vec<_>>());
        assert_eq!(became.len(), texts.len());
        for (text, said) in texts.iter().zip(became) {
            assert_eq!(said.expect("it was written"), text.len());
        }
        for (number, reader) in readers.iter_mut().enumerate() {
            let all: String = texts.iter().skip(number).step_by(60).map(String::as_str).collect();
            let mut got = vec![0; all.len()];
            reader.read_exact(&mut got).expect("it was sent");
            assert_eq!(String::from_utf8_lossy(&got), all);
        }
        assert!(volley.lost().is_none());
    }
}

#[test]
fn nothing_is_sent_where_there_is_nothing_to_send() {
    for mut volley in volleys() {
        assert!(volley.send(&[]).is_empty());
    }
}

/// One has gone, one takes no more: the others get theirs all the same, and nothing waits.
#[test]
fn who_takes_nothing_keeps_nobody_waiting() {
    for mut volley in volleys() {
        let (writers, mut readers) = pairs(4);
        let stuffing = vec![b'x'; 1 << 20];
        let mut stuffed = 0;
        while let Ok(count) = (&writers[1]).write(&stuffing) {
            stuffed += count;
        }
        writers[2].shutdown(Shutdown::Write).expect("it was open");
        let writes: Vec<_> = writers.iter().map(|writer| (writer.as_fd(), &b"news"[..])).collect();
        let became = volley.send(&writes);
        let outcome = |number: usize| became[number].as_ref().map_err(std::io::Error::kind);
        assert_eq!(outcome(0), Ok(&4));
        assert_eq!(outcome(1), Err(ErrorKind::WouldBlock));
        assert_eq!(outcome(2), Err(ErrorKind::BrokenPipe));
        assert_eq!(outcome(3), Ok(&4));
        let mut got = [0; 4];
        readers[3].read_exact(&mut got).expect("it was sent");
        assert_eq!(&got, b"news");
        drop(writers);
        let mut rest = Vec::new();
        readers[1].read_to_end(&mut rest).expect("it ends");
        assert_eq!(rest.len(), stuffed, "what was refused was not sent later");
    }
}

/// More than a socket takes: what is said is what it took.
#[test]
fn a_part_is_said_to_be_one() {
    for mut volley in volleys() {
        let (mut writers, mut readers) = pairs(2);
        let long = vec![b'y'; 64 << 20];
        let writes = [(writers[0].as_fd(), &long[..]), (writers[1].as_fd(), &b"short"[..])];
        let became = volley.send(&writes);
        let taken = *became[0].as_ref().expect("a part of it");
        assert!((1..long.len()).contains(&taken), "{taken}");
        assert_eq!(*became[1].as_ref().expect("all of it"), 5);
        writers.clear();
        let mut got = Vec::new();
        readers[0].read_to_end(&mut got).expect("it ends");
        assert_eq!(got.len(), taken);
    }
}
