//! Authorities, certificates and servers of every kind, good and bad, on this machine's own ports.
//! A server tells of each connection how far it came and which bytes it got.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a laboratory for tests")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portal_core::net::{HttpTransport, PinSet, TransportConfig};
use portal_core::ports::{Exchange, Transport, TransportError};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PublicKeyData,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Planted in the path, a header and the body of every request: must not reach a bad server.
pub const CANARY: &str = "canary-5b1f";
/// The answer of a good server.
pub const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// The pin of a key.
pub fn pin(key: &impl PublicKeyData) -> String {
    let spki = key.subject_public_key_info();
    STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, &spki))
}

/// A pin set of the given pins that never ends.
pub fn pins(of: &[&str]) -> Vec<PinSet> {
    vec![PinSet { spki_sha256: of.iter().map(|&pin| pin.to_owned()).collect(), expires_at: None }]
}

/// Somebody who signs certificates.
pub struct Authority {
    /// Its certificate.
    pub certificate: Certificate,
    /// The pin of its key.
    pub pin: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A root.
    pub fn new(name: &str) -> Self {
        let (params, key) = (authority_params(name, true), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, pin: pin(&key), issuer: Issuer::new(params, key) }
    }

    /// An authority under this one; one that may not sign, when `is_ca` is false.
    pub fn intermediate(&self, name: &str, is_ca: bool) -> Self {
        self.intermediate_with(authority_params(name, is_ca))
    }

    /// An authority under this one, with a certificate of the caller's making.
    pub fn intermediate_with(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { certificate, pin: pin(&key), issuer: Issuer::new(params, key) }
    }

    /// A certificate for somebody else's public key.
    pub fn certify(&self, key: &impl PublicKeyData, params: &CertificateParams) -> CertificateDer<'static> {
        params.signed_by(key, &self.issuer).unwrap().der().clone()
    }

    /// A server's certificate and key.
    pub fn leaf(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity {
            chain: vec![self.certify(&key, params)],
            pin: pin(&key),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }
}

/// What an authority's certificate says.
pub fn authority_params(name: &str, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    params
}

/// What a good server's certificate says.
pub fn server_params() -> CertificateParams {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "practice");
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// What a server shows, and the key that it has.
pub struct Identity {
    /// The leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The pin of the leaf's key.
    pub pin: String,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// One that nobody signed.
    pub fn self_signed(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            chain: vec![certificate.der().clone()],
            pin: pin(&key),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    /// The same with another certificate sent along.
    #[must_use]
    pub fn and(mut self, authority: &Authority) -> Self {
        self.chain.push(authority.certificate.der().clone());
        self
    }

    /// For a server that speaks this version only.
    pub fn config(self, version: &'static SupportedProtocolVersion) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)
            .unwrap()
    }
}

/// How far a connection came.
#[derive(Debug, Default)]
pub struct Seen {
    /// The handshake ended well.
    pub handshake: bool,
    /// It took the short way of a resumed session.
    pub resumed: bool,
    /// What arrived: after the handshake, or at all where there is none.
    pub bytes: Vec<u8>,
}

/// A listening server. It ends with the test's runtime.
pub struct Server {
    /// Where.
    pub address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Server {
    /// One that does with every connection what the function says.
    pub async fn raw<F, W>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> W + Send + 'static,
        W: Future<Output = Seen> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (work, tell) = (serve(stream), tell.clone());
                // Nobody listens any more when the test is over.
                tokio::spawn(async move { tell.send(work.await).unwrap_or_default() });
            }
        });
        Self { address, seen }
    }

    /// One that speaks TLS and answers every request alike.
    pub async fn tls(config: ServerConfig, answer: &'static [u8]) -> Self {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        Self::raw(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return Seen::default() };
                let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
                let bytes = read_request(&mut stream).await;
                stream.write_all(answer).await.ok();
                stream.shutdown().await.ok();
                Seen { handshake: true, resumed, bytes }
            }
        })
        .await
    }

    /// One that speaks plain HTTP: reads a request, sends these bytes and ends.
    pub async fn plain(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::raw(move |mut stream| {
            let answer = Arc::clone(&answer);
            async move {
                let bytes = read_request(&mut stream).await;
                stream.write_all(&answer).await.ok();
                stream.shutdown().await.ok();
                Seen { bytes, ..Seen::default() }
            }
        })
        .await
    }

    /// The next connection's fate, once it is over.
    pub async fn seen(&mut self) -> Seen {
        tokio::time::timeout(Duration::from_secs(20), self.seen.recv())
            .await
            .expect("no connection came")
            .unwrap()
    }

    /// Whether nobody has come, waiting a moment for whoever is late.
    pub async fn is_lonely(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(150), self.seen.recv()).await.is_err()
    }

    /// Its https address by the name of this machine.
    pub fn https(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Its plain http address.
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.address.port())
    }
}

/// Reads to the end of the headers, or of the connection, and the body that was announced.
pub async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !is_whole_request(&bytes) {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(n @ 1..) => bytes.extend(part.iter().take(n)),
            _ => break,
        }
    }
    bytes
}

fn is_whole_request(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= announced.unwrap_or(0)
}

/// A client of one server.
pub struct Client {
    /// The transport under test.
    pub transport: HttpTransport,
    base: String,
}

impl Client {
    /// A client that trusts this authority, and insists on these pins.
    pub fn new(base: &str, root: &Authority, pins: Vec<PinSet>) -> Self {
        let config = TransportConfig {
            practice_url: base.parse().unwrap(),
            roots_pem: root.certificate.pem(),
            pins,
            allow_loopback_http: false,
        };
        Self { transport: HttpTransport::new(&config).unwrap(), base: base.to_owned() }
    }

    /// A client for plain http on this machine.
    pub fn plain(server: &Server) -> Self {
        let config = TransportConfig {
            practice_url: server.http().parse().unwrap(),
            roots_pem: String::new(),
            pins: vec![],
            allow_loopback_http: true,
        };
        Self { transport: HttpTransport::new(&config).unwrap(), base: server.http() }
    }

    /// Sends a request full of canaries, with generous bounds.
    pub async fn post(&self) -> Result<http::Response<Vec<u8>>, TransportError> {
        self.post_within(1 << 20, Duration::from_secs(20)).await
    }

    /// The same with these bounds.
    pub async fn post_within(
        &self,
        max_body: usize,
        timeout: Duration,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        self.send(&format!("{}/{CANARY}", self.base), max_body, timeout).await
    }

    /// The same to any address.
    pub async fn send(
        &self,
        url: &str,
        max_body: usize,
        timeout: Duration,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        let request = http::Request::post(url).header("authorization", format!("Bearer {CANARY}"));
        let request = request.body(CANARY.as_bytes().to_vec()).unwrap();
        self.transport.send(Exchange { request, max_body, timeout }).await
    }
}

/// Whether any of the canaries is in there.
pub fn has_canary(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).contains(CANARY)
}

/// A server with an RSA key of any size. The library under the server refuses to load a short one,
/// so the signature is made by hand: PKCS #1 v1.5 with SHA-256, in TLS 1.2.
pub mod rsa {
    use super::{Authority, server_params};
    use num_bigint::BigUint;
    use rustls::SignatureScheme;
    use rustls::server::{ClientHello, ResolvesServerCert};
    use rustls::sign::{CertifiedKey, Signer, SigningKey};
    use std::sync::Arc;

    // Throw-away keys, made for this test: modulus and private exponent.
    const N_1024: &str = "\
        d1d8352586911a97e67485e4dd4a6680827ad66460d8c562d2ea24f3275dd4ca948baa5ab9ee2448c239ab07e91f071b\
        b8ff0a39827dff1489c3a8f88489b2daa8eb56405c34b37ec2fdd729fad564743ecedb1daea8c662b9a5db94c7830e6e\
        e5b59667b74683b666ba643c700e866483a84af09153a995056d711f977abf05";
    const D_1024: &str = "\
        2d72b840025f16f56332457586000127401b3ea7cad9e816393c00f8b0c3ffbc4863df677af17ae64f3a92324a692fee\
        ef283d9cab0882e07ddde490be93dc2a5f0f0873539c0f4a96e06e55efae229fc644e3fe638d756c192eb115e6d15d34\
        ebd9a1f636168f5752a9fd4623170d59903670073ff0c2200a8ab8354fd036c1";
    const N_2048: &str = "\
        e0ea0edc10793f2d57d1c4c9b0b2d811e6b12b2d36e68dd755b77677e63f2d43c892142f005adee44cd21a1eb0265da2\
        0248520fb40a01c9b4e8e2bded2c0b1e9b2705c040145bc655d07fc60677b7bdd24b5acfbbd706eab5849b1bed9cce2b\
        f0e396ba78ff474bea268cdc80dc2ca6d867e2e7680cfe5de8f3576bc8cd7957b478a9aa52dea91b4840d1f3a9daff8f\
        ccfb906bebfaebe7836b97caafea27233417ab4b9a182286e8061ddbc0933f7f201046ed298c1e135cd7888286a028ca\
        d671595e9f86cebde42114eb4b27b5091e6f101c50497e6e041ec89da0cd5b1147a98c9e21ae5b939f91944bceb93b36\
        d56e73cd67c8b104aea7486f62eac1ad";
    const D_2048: &str = "\
        2d507af5f38bba22d492bae737e69089eac4bf4238d172ba73d6a6d3b95bf92eb2f65b82acbba234b5158f95a73fd395\
        948825a06c51a7d28fd46bfa8012639b22ff55b54a33cfd9c1e86415edafa92161813526ad5dc15300875b08e172ba47\
        381d627ce76be75d702b9c2dc0f89b36725b5be7eb9ad294f11e35facd5638a006577e8e1446dbaf23587daa5dc77c05\
        d12c94e30aeaceaa1c34502da5105e03be1509bb4fcbc7cdb171fc906bd91961f5b91f7575f3203a50802ed944ecf970\
        22e9678861e70bd9f1004601d6ec4f4d0d8f375b3e9b836666ecdfff5e04b3356e0dfe4b609097b29290cdd201c11aea\
        c71db3162266d3a27028f9c3622b819";

    /// A private key.
    #[derive(Clone, Debug)]
    pub struct Key {
        n: BigUint,
        d: BigUint,
        public: Vec<u8>,
    }

    impl Key {
        /// One of 1024 bits, which nobody should accept.
        pub fn short() -> Self {
            Self::new(N_1024, D_1024)
        }

        /// One of 2048 bits.
        pub fn long() -> Self {
            Self::new(N_2048, D_2048)
        }

        /// For a server whose certificate is signed by this authority.
        pub fn config(self, root: &Authority) -> rustls::ServerConfig {
            let certificate = root.certify(&self, &server_params());
            let shown = Arc::new(CertifiedKey::new(vec![certificate], Arc::new(self)));
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            rustls::ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&rustls::version::TLS12])
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(Always(shown)))
        }

        fn new(n: &str, d: &str) -> Self {
            let number = |hex: &str| BigUint::parse_bytes(hex.as_bytes(), 16).unwrap();
            let modulus = [vec![0], number(n).to_bytes_be()].concat();
            let integers = [tagged(2, &modulus), tagged(2, &[1, 0, 1])].concat();
            Self { n: number(n), d: number(d), public: tagged(0x30, &integers) }
        }
    }

    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        let head = match content.len() {
            0..128 => vec![tag, low],
            128..256 => vec![tag, 0x81, low],
            _ => vec![tag, 0x82, high, low],
        };
        [head, content.to_vec()].concat()
    }

    impl rcgen::PublicKeyData for Key {
        fn der_bytes(&self) -> &[u8] {
            &self.public
        }

        fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
            &rcgen::PKCS_RSA_SHA256
        }
    }

    impl SigningKey for Key {
        fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            offered.contains(&self.scheme()).then(|| Box::new(self.clone()) as Box<dyn Signer>)
        }

        fn algorithm(&self) -> rustls::SignatureAlgorithm {
            rustls::SignatureAlgorithm::RSA
        }
    }

    impl Signer for Key {
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
            const SHA256: [u8; 19] =
                [0x30, 0x31, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 32];
            let size = usize::try_from(self.n.bits() / 8).unwrap();
            let hash = ring::digest::digest(&ring::digest::SHA256, message);
            let filler = vec![0xff; size - 3 - SHA256.len() - 32];
            let padded = [&[0, 1][..], &filler, &[0], &SHA256, hash.as_ref()].concat();
            let signature = BigUint::from_bytes_be(&padded).modpow(&self.d, &self.n).to_bytes_be();
            Ok([vec![0; size - signature.len()], signature].concat())
        }

        fn scheme(&self) -> SignatureScheme {
            SignatureScheme::RSA_PKCS1_SHA256
        }
    }

    #[derive(Debug)]
    struct Always(Arc<CertifiedKey>);

    impl ResolvesServerCert for Always {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }
}
