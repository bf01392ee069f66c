extension PortalError {
    /// The reason, whichever the kind.
    public var reason: Reason {
        switch self {
        case .Offline(let reason), .SignedOut(let reason), .Locked(let reason), .Refused(let reason, _),
            .Conflict(let reason), .NotFound(let reason), .Storage(let reason), .Bug(let reason):
            reason
        }
    }
}
