extension Portal {
    /// Sends what waits and fetches what is new, until both are done or the time is over: what a
    /// background task of the system has. No step begins after it, and nothing that waits is lost.
    ///
    /// - Throws: ``PortalError``, as ``Portal/sync(deadlineMs:)`` does.
    @discardableResult
    public func sync(within limit: Duration) async throws -> SyncReport {
        try await sync(deadlineMs: limit.wholeMilliseconds)
    }
}

extension SessionView {
    /// How long until the records lock by themselves; `nil` while they are not open.
    public var lockIn: Duration? { lockInMs.map { .milliseconds(Int64(clamping: $0)) } }
}

extension Duration {
    /// Rounded down; nothing for a negative one, and at most what the core can take.
    var wholeMilliseconds: UInt64 {
        guard self > .zero else { return 0 }
        let (seconds, attoseconds) = components
        let (milliseconds, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000)
        let rest = UInt64(attoseconds / 1_000_000_000_000_000)
        return overflow || milliseconds > .max - rest ? .max : milliseconds + rest
    }
}
