//! gRPC's interop cases by tonic: `server PORT` serves them, `client PORT` makes the calls through
//! whatever listens there and says `ok NAME` for each.

mod client;
mod server;

/// What `interop.proto` says.
mod proto {
    tonic::include_proto!("grpc.testing");
}

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, port] = &arguments[..] else { return Err("client|server PORT".into()) };
    match role.as_str() {
        "server" => server::serve(port.parse()?).await,
        "client" => client::call(port.parse()?).await,
        _ => Err("client|server PORT".into()),
    }
}
