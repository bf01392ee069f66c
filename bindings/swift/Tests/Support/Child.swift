import Foundation

/// Another process: its input is a pipe that we hold, its output a pipe that we read.
///
/// Not Foundation's `Process`, whose pipes leak into every other process that is started meanwhile.
public final class Child: @unchecked Sendable {
    /// Its number.
    public let pid: pid_t
    private let output: FileHandle
    private let lock = NSLock()
    private var input: Int32
    private var status: Int32?
    private var unread = Data()

    /// Starts `arguments[0]`, found on the PATH.
    public init(_ arguments: [String], environment: [String: String] = [:]) throws {
        Self.starting.lock()
        defer { Self.starting.unlock() }
        let toIt = try Self.pipe(), fromIt = try Self.pipe()
        #if canImport(Glibc)
            var actions = posix_spawn_file_actions_t()
        #else
            var actions: posix_spawn_file_actions_t?
        #endif
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, toIt.read, 0)
        posix_spawn_file_actions_adddup2(&actions, fromIt.write, 1)
        let variables = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        let argv = arguments.map { strdup($0) } + [nil]
        let envp = variables.map { strdup("\($0)=\($1)") } + [nil]
        defer { (argv + envp).forEach { free($0) } }
        var pid: pid_t = 0
        let failed = posix_spawnp(&pid, arguments[0], &actions, nil, argv, envp)
        close(toIt.read)
        close(fromIt.write)
        self.pid = pid
        input = toIt.write
        output = FileHandle(fileDescriptor: fromIt.read, closeOnDealloc: true)
        guard failed == 0 else { throw Failure("\(arguments[0]) does not start: \(String(cString: strerror(failed)))") }
    }

    /// While one is being started no other one is: it would inherit the pipes of the first.
    private static let starting = NSLock()

    private static func pipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        guard Foundation.pipe(&ends) == 0 else { throw Failure("no pipe") }
        ends.forEach { _ = fcntl($0, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// The next line of its output, or `nil` at the end. One reader at a time.
    public func readLine() -> String? {
        while true {
            if let end = unread.firstIndex(of: UInt8(ascii: "\n")) {
                let line = unread[unread.startIndex..<end]
                unread = Data(unread[unread.index(after: end)...])
                return String(decoding: line, as: UTF8.self)
            }
            let more = output.availableData
            if more.isEmpty { return nil }
            unread.append(more)
        }
    }

    /// All of its output from here on.
    public func readAll() -> String {
        while case let more = output.availableData, !more.isEmpty { unread.append(more) }
        defer { unread = Data() }
        return String(decoding: unread, as: UTF8.self)
    }

    /// Tells it that nothing more comes.
    public func closeInput() {
        lock.withLock {
            if input >= 0 { close(input) }
            input = -1
        }
    }

    /// Sends a signal to it.
    public func signal(_ number: Int32) {
        lock.withLock { if status == nil { _ = kill(pid, number) } }
    }

    /// Its exit code once it has ended; 128 and the signal's number when one ended it.
    @discardableResult
    public func wait() -> Int32 {
        if let status = lock.withLock({ status }) { return status }
        var raw: Int32 = 0
        while waitpid(pid, &raw, 0) < 0, errno == EINTR {}
        let code = raw & 0x7f == 0 ? (raw >> 8) & 0xff : 128 + (raw & 0x7f)
        lock.withLock { status = code }
        return code
    }

    deinit {
        closeInput()
    }

    /// Runs a program to its end, off the few threads that Swift's tasks share.
    public static func run(_ arguments: [String], environment: [String: String] = [:]) async throws -> (
        code: Int32, output: String
    ) {
        try await blocking {
            let child = try Child(arguments, environment: environment)
            child.closeInput()
            let output = child.readAll()
            return (child.wait(), output)
        }
    }
}

/// Runs what blocks on a thread where it may.
public func blocking<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global().async { continuation.resume(with: Result { try work() }) }
    }
}

/// A test cannot go on.
public struct Failure: Error, CustomStringConvertible {
    /// Why.
    public let description: String

    /// Because of `description`.
    public init(_ description: String) {
        self.description = description
    }
}

/// Looks until it is so, for half a minute at most: the core works in the background, and nobody
/// knows for how long.
public func eventually(
    _ what: String, within limit: Duration = .seconds(30), _ isSo: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !isSo() {
        guard ContinuousClock.now < end else { throw Failure("not in time: \(what)") }
        try await Task.sleep(for: .milliseconds(20))
    }
}
