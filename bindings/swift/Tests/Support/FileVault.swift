import Foundation
import PortalCore

/// A `KeyVault` for tests, whose keys are in a file, so that they survive a killed process. It does
/// not keep a secret: what it wraps is only mixed with the key.
public final class FileVault: KeyVault, @unchecked Sendable {
    /// What a test lets happen in place of an answer.
    public enum Answer: Sendable {
        /// Fails with this.
        case error(any Error & Sendable)
        /// Hands out this.
        case data(Data)
    }

    private let file: URL
    private let lock = NSLock()
    private var nextUnwrap: [Answer] = []
    private var nextCreate: [Answer] = []

    /// A vault whose keys are in `file`.
    public init(file: URL) {
        self.file = file
    }

    /// The next call of `unwrap` gives this; the ones after it are as ever.
    public func unwrapOnce(_ answer: Answer) {
        lock.withLock { nextUnwrap.append(answer) }
    }

    /// The next call of `create` gives this.
    public func createOnce(_ answer: Answer) {
        lock.withLock { nextCreate.append(answer) }
    }

    public func create(alias: String, policy: KeyPolicy) throws {
        try lock.withLock {
            if !nextCreate.isEmpty, case .error(let error) = nextCreate.removeFirst() { throw error }
            var keys = try read()
            guard keys[alias] == nil else { return }
            keys[alias] = Data((0..<32).map { _ in UInt8.random(in: .min ... .max) })
            try write(keys)
        }
    }

    public func wrap(alias: String, plaintext: Data) throws -> Data {
        try lock.withLock {
            guard let key = try read()[alias] else { throw VaultError.KeyGone(code: 1) }
            return key.prefix(8) + mixed(plaintext, with: key)
        }
    }

    public func unwrap(alias: String, wrapped: Data) throws -> Data {
        try lock.withLock {
            if !nextUnwrap.isEmpty {
                switch nextUnwrap.removeFirst() {
                case .error(let error): throw error
                case .data(let data): return data
                }
            }
            guard let key = try read()[alias] else { throw VaultError.KeyGone(code: 1) }
            guard wrapped.prefix(8) == key.prefix(8) else { throw VaultError.Failed(code: 2) }
            return mixed(wrapped.dropFirst(8), with: key)
        }
    }

    public func delete(alias: String) throws {
        try lock.withLock {
            var keys = try read()
            keys[alias] = nil
            try write(keys)
        }
    }

    /// How many keys it has.
    public var count: Int { get throws { try lock.withLock { try read().count } } }

    private func read() throws -> [String: Data] {
        guard FileManager.default.fileExists(atPath: file.path) else { return [:] }
        return try JSONDecoder().decode([String: Data].self, from: Data(contentsOf: file))
    }

    private func write(_ keys: [String: Data]) throws {
        try JSONEncoder().encode(keys).write(to: file, options: .atomic)
    }

    private func mixed(_ data: Data, with key: Data) -> Data {
        Data(zip(data, 0...).map { byte, n in byte ^ key[n % key.count] })
    }
}
