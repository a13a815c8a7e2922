//! Header names of other gateways and proxies that back ends believe.
//!
//! A list and nothing else: a back end that stood behind one of them yesterday still reads
//! its headers today. Families end where their members' names go on.

/// The names in which gateways and proxies of all kinds tell who asks.
pub(super) const IDENTITY: &[&str] = &[
    "X-Auth-User",
    "X-Auth-Username",
    "X-Auth-User-Id",
    "X-Auth-Email",
    "X-Auth-Groups",
    "X-Auth-Roles",
    "X-Auth-Scopes",
    "X-Auth-Subject",
    "X-Auth-Staff",
    "X-Auth-Is-Staff",
    "X-Auth-Name",
    "X-User",
    "X-User-Id",
    "X-Username",
    "X-User-Name",
    "X-User-Email",
    "X-User-Role",
    "X-User-Roles",
    "X-User-Groups",
    "X-Userinfo",
    "X-Jwt-Payload",
    "X-Jwt-Assertion",
    "X-Token-Subject",
    "X-Original-User",
    "X-Anonymous-Consumer",
    // httpoxy: CGI makes HTTP_PROXY of it.
    "Proxy",
];

/// Whole families of them.
pub(super) const IDENTITY_FAMILIES: &[&str] = &[
    "X-Portcullis-",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Access-Token",
    "X-Auth-Request-",
    "Remote-",
    "X-Remote-",
    "X-Authenticated-",
    "X-Webauth-",
    "X-Consumer-",
    "X-Credential-",
    "X-Authentik-",
    "X-Pomerium-",
    "X-Goog-Authenticated-User-",
    "X-Goog-Iap-",
    "X-Amzn-Oidc-",
    "X-Ms-Client-Principal",
    "X-Ms-Token-",
    "Cf-Access-",
];

/// The names in which proxies tell where a request came from, or what it was before.
pub(super) const FORWARDING: &[&str] = &[
    "Forwarded",
    "X-Real-Ip",
    "Real-Ip",
    "X-Client-Ip",
    "Client-Ip",
    "True-Client-Ip",
    "X-True-Ip",
    "X-Cluster-Client-Ip",
    "Cf-Connecting-Ip",
    "Fastly-Client-Ip",
    "X-Originating-Ip",
    "X-Envoy-External-Address",
    "X-Custom-Ip-Authorization",
    "X-Host",
    "X-Http-Host-Override",
    "X-Scheme",
    "X-Url-Scheme",
    "Front-End-Https",
    "X-Method-Override",
    "X-Override-Url",
    "X-Http-Destinationurl",
    "Request-Uri",
];

/// Whole families of them.
pub(super) const FORWARDING_FAMILIES: &[&str] = &[
    "X-Forwarded",
    "X-Forward-",
    "X-Original-",
    "X-Rewrite-",
    "X-Http-Method",
    "X-Proxy-",
    "X-Client-Cert",
    "X-Ssl-Client-",
    "Ssl-Client-",
];
