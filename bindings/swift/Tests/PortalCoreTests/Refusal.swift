import PortalCore
import Testing

/// Expects that exactly this is thrown.
func refused(
    _ expected: PortalError, at place: SourceLocation = #_sourceLocation, _ work: () async throws -> Void
) async {
    do {
        try await work()
        Issue.record("nothing was thrown in place of \(expected)", sourceLocation: place)
    } catch {
        #expect(error as? PortalError == expected, sourceLocation: place)
    }
}

/// What is thrown.
func thrown(_ work: () async throws -> Void) async throws -> PortalError {
    do {
        try await work()
    } catch let error as PortalError {
        return error
    }
    throw Unthrown()
}

private struct Unthrown: Error {}
