import Foundation

/// Where things are.
public enum Places {
    /// What `bindings/build` made.
    public static let built: URL = {
        if let named = ProcessInfo.processInfo.environment["PORTAL_BINDINGS"] {
            return URL(fileURLWithPath: named, isDirectory: true)
        }
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return package.appendingPathComponent("../../target/bindings", isDirectory: true).standardizedFileURL
    }()

    /// The reference practice.
    public static let practice = built.appendingPathComponent("practice")

    /// The folder with the library that panics at a named moment.
    public static let panics = built.appendingPathComponent("panics")

    /// The program `OtherProcess`, beside the one that runs.
    public static var otherProcess: URL {
        let here = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        return here.appendingPathComponent("OtherProcess")
    }

    /// A new folder for one test.
    public static func scratch() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("portal-swift-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }
}
