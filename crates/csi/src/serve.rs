//! gRPC over a Unix socket.
//!
//! Promises: a socket that an earlier process left is replaced; a stop ends accepting, lets calls under way end, and
//! takes the socket away.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;

use crate::authority::Connection;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket cannot be made.
    #[error("listen on the socket `{}`", .path.display())]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        why: std::io::Error,
    },
    /// Serving ended by itself.
    #[error("serve on the socket `{}`", .path.display())]
    Serve {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        why: tonic::transport::Error,
    },
    /// A region's settings cannot be used.
    #[error("region `{region}`")]
    Region {
        /// Which.
        region: String,
        /// Why.
        #[source]
        why: pve::ConfigError,
    },
    /// Health and metrics cannot be served.
    #[error(transparent)]
    Admin(#[from] daemon::admin::Error),
    /// What a node is told of itself is wrong.
    #[error("{0}")]
    Settings(String),
}

/// Services that are served together.
#[derive(Default)]
pub(crate) struct Services(RoutesBuilder);

impl Services {
    /// With one service more.
    pub(crate) fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.0.add_service(service);
        self
    }
}

/// A socket that listens.
pub(crate) struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// Makes the socket; what an earlier process left there goes.
    pub(crate) fn bind(path: &Path) -> Result<Self, Error> {
        let listen = |why| Error::Listen { path: path.to_owned(), why };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(listen)?;
        }
        match std::fs::remove_file(path) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => return Err(listen(why)),
            Ok(()) | Err(_) => {}
        }
        Ok(Self { path: path.to_owned(), listener: UnixListener::bind(path).map_err(listen)? })
    }

    /// Serves until told to stop.
    pub(crate) async fn serve(self, services: Services, stop: CancellationToken) -> Result<(), Error> {
        let Self { path, listener } = self;
        let incoming = UnixListenerStream::new(listener).map(|accepted| accepted.map(Connection::new));
        let served = Server::builder()
            .add_routes(services.0.routes())
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await;
        // It may be another's by now.
        let _gone = std::fs::remove_file(&path);
        served.map_err(|why| Error::Serve { path, why })
    }
}
