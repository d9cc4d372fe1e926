//! Facts about authentication: who is let in as whom, how sessions end, what refusals tell.

use super::*;

const ANA: &str = "ana-0123456789abcdef";
const BEN: &str = "ben-0123456789abcdef";

fn closed() -> Authenticator {
    Authenticator::from_token_file(&format!("ana:{ANA}\nben:{BEN}\n"), false).unwrap()
}

fn header(value: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", value.parse().unwrap());
    metadata
}

fn basic_header(name: &str, token: &str) -> MetadataMap {
    header(&format!("Basic {}", STANDARD.encode(format!("{name}:{token}"))))
}

fn who(authenticator: &Authenticator, metadata: &MetadataMap) -> Option<String> {
    authenticator
        .authenticate(metadata)
        .ok()
        .map(|principal| principal.0)
}

#[test]
fn a_static_token_names_its_principal_as_bearer_and_as_password() {
    let server = closed();
    assert_eq!(
        who(&server, &header(&format!("Bearer {ANA}"))).as_deref(),
        Some("ana")
    );
    assert_eq!(
        who(&server, &header(&format!("bearer  {BEN}"))).as_deref(),
        Some("ben")
    );
    assert_eq!(who(&server, &basic_header("ana", ANA)).as_deref(), Some("ana"));
    assert_eq!(who(&server, &basic_header("ana", BEN)), None);
    assert_eq!(who(&server, &basic_header("nobody", ANA)), None);
}

#[test]
fn a_token_without_name_goes_with_any_user() {
    let server = Authenticator::from_token_file(ANA, false).unwrap();
    assert_eq!(
        who(&server, &basic_header("whoever", ANA)).as_deref(),
        Some("token")
    );
    assert_eq!(
        who(&server, &header(&format!("Bearer {ANA}"))).as_deref(),
        Some("token")
    );
}

#[test]
fn refusals_do_not_tell_why() {
    let server = closed();
    let text = |metadata: &MetadataMap| server.authenticate(metadata).unwrap_err().to_string();
    let wrong_token = text(&basic_header("ana", "wrong"));
    for metadata in [
        basic_header("nobody", ANA),
        header("Bearer wrong"),
        header(&format!("Bearer {SESSION_PREFIX}0")),
        header("Digest x"),
        header("Basic !!!"),
        header("nonsense"),
    ] {
        assert_eq!(text(&metadata), wrong_token);
    }
    assert_eq!(
        server.authenticate(&MetadataMap::new()).unwrap_err().code(),
        Code::Unauthenticated
    );
}

#[test]
fn without_credentials_only_an_open_server_lets_in() {
    assert_eq!(who(&closed(), &MetadataMap::new()), None);
    assert_eq!(who(&closed(), &basic_header("", "")), None);
    let both = Authenticator::from_token_file(&format!("ana:{ANA}"), true).unwrap();
    assert_eq!(who(&both, &MetadataMap::new()).as_deref(), Some("anonymous"));
    assert_eq!(who(&both, &header("Bearer wrong")), None);
    let open = Authenticator::anonymous();
    for metadata in [
        MetadataMap::new(),
        header("Bearer anything"),
        basic_header("u", "p"),
        header("x"),
    ] {
        assert_eq!(who(&open, &metadata).as_deref(), Some("anonymous"));
    }
}

#[test]
fn a_handshake_gives_a_session_token_of_256_bits() {
    let server = closed();
    let bearer = server.handshake(&basic_header("ben", BEN)).unwrap();
    assert_eq!(bearer.principal().0, "ben");
    assert_eq!(bearer.token().len(), SESSION_PREFIX.len() + 64);
    assert!(!format!("{bearer:?}").contains(bearer.token()));
    let metadata = header(&format!("Bearer {}", bearer.token()));
    assert_eq!(who(&server, &metadata).as_deref(), Some("ben"));
    assert_eq!(session_token(&metadata), Some(bearer.token()));
    assert_eq!(session_token(&header(&format!("Bearer {ANA}"))), None);
    let other = server.handshake(&basic_header("ben", BEN)).unwrap();
    assert_ne!(other.token(), bearer.token());
    assert!(server.handshake(&basic_header("ben", "wrong")).is_err());
}

#[test]
fn a_session_ends_when_revoked_idle_or_old() {
    let server = closed();
    let start = Instant::now();
    let session = |at| {
        header(&format!(
            "Bearer {}",
            server
                .handshake_at(&basic_header("ana", ANA), at)
                .unwrap()
                .token()
        ))
    };
    let alive = |metadata: &MetadataMap, at| server.authenticate_at(metadata, at).is_ok();

    let idle = session(start);
    assert!(alive(&idle, start + SESSION_IDLE - Duration::from_secs(1)));
    assert!(!alive(&idle, start + SESSION_IDLE * 2));
    assert!(!alive(&idle, start), "an ended session comes back");

    let busy = session(start);
    let steps = u32::try_from(SESSION_MAX.as_secs() / SESSION_IDLE.as_secs() * 2).unwrap();
    for step in 1..steps {
        assert!(alive(&busy, start + SESSION_IDLE / 2 * step), "{step}");
    }
    assert!(!alive(&busy, start + SESSION_MAX));

    let closed = session(start);
    server.revoke(&closed);
    assert!(!alive(&closed, start));
}

#[test]
fn sessions_are_bounded_and_the_least_used_makes_room() {
    let server = Authenticator {
        max_sessions: 2,
        ..closed()
    };
    let start = Instant::now();
    let session = |at| {
        header(&format!(
            "Bearer {}",
            server
                .handshake_at(&basic_header("ana", ANA), at)
                .unwrap()
                .token()
        ))
    };
    let first = session(start);
    let second = session(start + Duration::from_secs(1));
    assert!(
        server
            .authenticate_at(&first, start + Duration::from_secs(2))
            .is_ok()
    );
    let third = session(start + Duration::from_secs(3));
    let alive = |metadata: &MetadataMap| {
        server
            .authenticate_at(metadata, start + Duration::from_secs(4))
            .is_ok()
    };
    assert!(alive(&first) && alive(&third) && !alive(&second));
}
