//! Makes the services of `interop.proto`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../interop.proto");
    Ok(tonic_prost_build::compile_fds(protox::compile(["interop.proto"], [".."])?)?)
}
