extension Portal {
    /// What moves from now on, for a `for await` loop. Each use listens anew, and stops listening when
    /// the loop ends or its task is cancelled.
    ///
    /// It is there before the first change after this call: read what you show after you have it.
    public var changeSequence: ChangeSequence { ChangeSequence(of: changes()) }
}

/// The changes of one listener, from ``Portal/changeSequence``, for one loop.
public struct ChangeSequence: AsyncSequence, Sendable {
    /// What the loop gets: what to read again.
    public typealias Element = Change
    /// It never fails.
    public typealias Failure = Never

    private let listener: Listener

    init(of changes: Changes) {
        listener = Listener(changes)
    }

    /// Gives the loop its changes.
    public func makeAsyncIterator() -> Iterator {
        Iterator(listener: listener)
    }

    /// Where a loop stands.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let listener: Listener

        /// The next change, or `nil` once the task is cancelled.
        public mutating func next() async -> Change? {
            await next(isolation: nil)
        }

        /// The next change, or `nil` once the task is cancelled.
        public mutating func next(isolation actor: isolated (any Actor)?) async -> Change? {
            let changes = listener.changes
            return await withTaskCancellationHandler {
                // What was queued before the cancellation would still come: nobody wants it any more.
                Task.isCancelled ? nil : await changes.next()
            } onCancel: {
                // Generated code does not hear of cancellation: without this the wait would never end.
                changes.stop()
            }
        }
    }
}

/// Stops with the last of the sequence and its iterators.
private final class Listener: Sendable {
    let changes: Changes

    init(_ changes: Changes) {
        self.changes = changes
    }

    deinit {
        changes.stop()
    }
}
