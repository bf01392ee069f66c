// swift-tools-version: 6.0
// `bindings/swift/prepare` puts the generated code in its place first; README.md tells how.
import PackageDescription

// Apple's systems take the library from an XCFramework, which `make-xcframework` builds; on Linux it
// is a shared library that the linker is told of (-L), for the tests.
#if os(Linux)
    let ffi: Target = .systemLibrary(name: "PortalCoreFFI", path: "Sources/PortalCoreFFI")
#else
    let ffi: Target = .binaryTarget(name: "PortalCoreFFI", path: "PortalCoreFFI.xcframework")
#endif

var targets: [Target] = [
    ffi,
    .target(name: "PortalCore", dependencies: ["PortalCoreFFI"]),
    .target(name: "Support", dependencies: ["PortalCore"], path: "Tests/Support"),
    .executableTarget(name: "OtherProcess", dependencies: ["PortalCore", "Support"], path: "Tests/OtherProcess"),
    .testTarget(name: "PortalCoreTests", dependencies: ["PortalCore", "Support", "OtherProcess"]),
]

// The benchmark calls functions that only the library of `bindings/build --bench` has.
if Context.environment["PORTAL_FLOOR"] != nil {
    targets.append(
        .executableTarget(name: "Bench", dependencies: ["PortalCore", "Support"], path: "Tests/Bench"))
}

let package = Package(
    name: "PortalCore",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [.library(name: "PortalCore", targets: ["PortalCore"])],
    targets: targets,
    swiftLanguageModes: [.v6]
)
