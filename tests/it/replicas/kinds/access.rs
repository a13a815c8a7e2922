//! TLS with a certificate of one's own, and an ACL user with the rights that the documents name.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use redis::AsyncTypedCommands as _;

use super::server::{Server, they_share, world};
use crate::replicas::world::metrics;

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_with_tls_is_trusted_by_the_certificate_that_the_settings_name_and_no_other() {
    // What `main` does; another test may have done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = |name: &str| {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), Issuer::new(params, key))
    };
    let ((trusted, issuer), (stranger, _)) = (authority("ours"), authority("another"));
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let server = Server::start_by(&["--tls-auth-clients", "no"], |port, folder| {
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let port = port.to_string();
        let (certificate, key) =
            (file("cert", &certificate.pem()), file("key", &key.serialize_pem()));
        [
            "--port",
            "0",
            "--tls-port",
            &port,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
        ]
        .into_iter()
        .chain(["--tls-ca-cert-file", &file("ca", &trusted)])
        .map(str::to_owned)
        .collect()
    })
    .await;
    let world = world(format!("rediss://localhost:{}", server.port)).await;
    let ca = server.folder.path().join("ca");
    let (one, other) = (
        world.replica_with(|settings| settings.redis.ca_file = Some(ca.clone())).await,
        world.replica_with(|settings| settings.redis.ca_file = Some(ca.clone())).await,
    );
    one.register("ada").await;
    they_share(&one, &other, "ada").await;

    let strange = server.folder.path().join("stranger");
    std::fs::write(&strange, stranger).unwrap();
    for ca in [None, Some(strange)] {
        let third = world.unconnected(|settings| settings.redis.ca_file = ca).await;
        let metrics = metrics(&third).await;
        assert!(metrics.contains("portcullis_dependency_up{dependency=\"redis\"} 0"), "{metrics}");
        assert_eq!(third.opaque("ada").await.len(), 40, "it does without");
    }
    world.remove().await;
}

/// The rights out of `docs/degradation.md`.
fn documented_rights() -> Vec<String> {
    let text = include_str!("../../../../docs/degradation.md");
    let commands = text.split_once("ACL user needs `").unwrap().1.split_once('`').unwrap().0;
    commands.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_documented_rights_may_do_all_that_is_needed_and_no_name_is_told() {
    let rights = documented_rights();
    assert!(rights.len() > 10 && rights.iter().all(|right| right.starts_with('+')), "{rights:?}");
    let mut arguments = vec![
        "--user",
        "gateway",
        "on",
        ">a-secret-of-the-acl-user",
        "~portcullis:*",
        "&portcullis:*",
    ];
    arguments.extend(rights.iter().map(String::as_str));
    let server = Server::start(&arguments).await;
    let world =
        world(format!("redis://gateway:a-secret-of-the-acl-user@127.0.0.1:{}", server.port)).await;
    let (one, other) = (world.replica().await, world.replica().await);
    one.register("quuxian").await;
    they_share(&one, &other, "quuxian").await;
    // Throttles, forgetting, and a renamed account.
    let wrong = serde_json::json!({"username": "quuxian", "password": "wrong"});
    assert_eq!(one.post("/auth/jwt/create/", wrong).await.status, http::StatusCode::UNAUTHORIZED);
    let reset = serde_json::json!({"email": "quuxian@example.org"});
    one.post("/auth/users/reset_password/", reset).await;
    for replica in [&one, &other] {
        let metrics = metrics(replica).await;
        assert!(metrics.contains("portcullis_redis_refused_commands_total 0"), "{metrics}");
        assert!(metrics.contains("portcullis_dependency_up{dependency=\"redis\"} 1"), "{metrics}");
    }
    let names: Vec<String> = server.connect().await.keys("*").await.unwrap();
    assert!(names.len() > 4, "{names:?}");
    for name in names {
        assert!(name.starts_with("portcullis:") && !name.contains("quux"), "{name}");
    }
    world.remove().await;
}
