//! What can be said about a mail server without sending a mail, for `portcullis doctor`.
//!
//! It must not know what is good and what is not.

use std::time::Duration;

use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::{ClientId, Extension};
use tokio::time::timeout;

/// For connecting and for each question.
const LIMIT: Duration = Duration::from_secs(5);

/// Whether a mail server offers TLS to those who ask for none (STARTTLS). Nothing if it cannot be
/// asked.
pub async fn offers_starttls(host: &str, port: u16) -> Option<bool> {
    let asked = async {
        let name = ClientId::default();
        let connecting =
            AsyncSmtpConnection::connect_tokio1((host, port), Some(LIMIT), &name, None, None);
        let mut connection = connecting.await.ok()?;
        let offers = connection.server_info().supports_feature(Extension::StartTls);
        // It was asked; how it takes the good-bye does not matter.
        let _ = connection.quit().await;
        Some(offers)
    };
    timeout(LIMIT, asked).await.ok().flatten()
}
