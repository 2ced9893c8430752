// An app of npm's openid-client, as its documentation has it: node node_app.mjs <port> <settings.json>.
// The same addresses as flask_app.py.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import dns from 'node:dns';

// Node does not know that every name under .localhost is this machine (RFC 6761 §6.3); browsers do.
const lookup = dns.lookup;
dns.lookup = (name, ...rest) => lookup(name.endsWith('.localhost') ? '127.0.0.1' : name, ...rest);

const oidc = await import('openid-client');
const jose = await import('jose');
const [, , port, file] = process.argv;
const settings = JSON.parse(readFileSync(file, 'utf8'));
const config = await oidc.discovery(
  new URL(settings.issuer), settings.client_id, undefined, oidc.ClientSecretBasic(settings.client_secret),
  { execute: [oidc.allowInsecureRequests] },
);
const people = new Map();
const keys = jose.createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri));
const EVENT = 'http://schemas.openid.net/event/backchannel-logout';

const json = (response, value, headers = {}) => {
  response.writeHead(200, { 'Content-Type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
};
const go = (response, address, headers = {}) => response.writeHead(302, { Location: String(address), ...headers }).end();

async function home(response, who, number) {
  if (who?.claims) return json(response, who.claims);
  const verifier = oidc.randomPKCECodeVerifier();
  const begun = { verifier, state: oidc.randomState(), nonce: oidc.randomNonce() };
  number = randomUUID();
  people.set(number, { begun });
  const address = oidc.buildAuthorizationUrl(config, {
    redirect_uri: `${settings.origin}/callback`, scope: 'openid profile email groups',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    state: begun.state, nonce: begun.nonce,
  });
  return go(response, address, { 'Set-Cookie': `number=${number}; HttpOnly; SameSite=Lax; Path=/` });
}

async function callback(response, who, number, address) {
  const { verifier, state, nonce } = who.begun;
  const token = await oidc.authorizationCodeGrant(config, address, {
    pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true,
  });
  people.set(number, { token, claims: token.claims() });
  return go(response, '/');
}

async function refresh(response, who) {
  try {
    Object.assign(who.token, await oidc.refreshTokenGrant(config, who.token.refresh_token));
  } catch (error) {
    return json(response, { error: error.error ?? error.code });
  }
  return json(response, { refreshed: true });
}

async function userinfo(response, who) {
  const answer = await oidc.fetchProtectedResource(
    config, who.token.access_token, new URL(config.serverMetadata().userinfo_endpoint), 'GET',
  ).catch((error) => error.cause instanceof Response ? error.cause : error.response ?? error);
  return json(response, { status: answer.status, claims: await answer.json?.().catch(() => null) });
}

function logout(response, who, number) {
  people.delete(number);
  return go(response, oidc.buildEndSessionUrl(config, {
    id_token_hint: who.token.id_token, post_logout_redirect_uri: `${settings.origin}/bye`, state: 'x',
  }));
}

// OpenID Connect Back-Channel Logout 1.0 §2.6, with the reader of tokens by openid-client's author.
async function signedOut(request, response) {
  let body = '';
  for await (const part of request) body += part;
  try {
    const { payload } = await jose.jwtVerify(new URLSearchParams(body).get('logout_token'), keys, {
      issuer: settings.issuer, audience: settings.client_id, typ: 'logout+jwt', algorithms: ['RS256'],
      requiredClaims: ['iat', 'exp', 'jti', 'sid', 'events'], maxTokenAge: '5 minutes',
    });
    if (!payload.events[EVENT] || 'nonce' in payload) throw new Error('no logout token');
    for (const [number, who] of people) if (who.claims?.sid === payload.sid) people.delete(number);
    return response.writeHead(200, { 'Cache-Control': 'no-store' }).end();
  } catch (error) {
    return response.writeHead(400, { 'Cache-Control': 'no-store' }).end(String(error.code ?? error));
  }
}

createServer(async (request, response) => {
  const number = /(?:^|; )number=([0-9a-f-]{36})/.exec(request.headers.cookie ?? '')?.[1];
  const who = people.get(number);
  const address = new URL(request.url, settings.origin);
  const pages = {
    '/': () => home(response, who, number),
    '/callback': () => callback(response, who, number, address),
    '/refresh': () => refresh(response, who),
    '/userinfo': () => userinfo(response, who),
    '/tokens': () => json(response, who.token),
    '/state': () => json(response, { signed_in: Boolean(who?.claims) }),
    '/signed-out': () => signedOut(request, response),
    '/logout': () => logout(response, who, number),
    '/bye': () => json(response, { bye: address.searchParams.get('state') }),
  };
  try {
    await (pages[address.pathname] ?? (() => response.writeHead(404).end()))();
  } catch (error) {
    console.error(error);
    response.writeHead(500).end(String(error.code ?? error));
  }
}).listen(Number(port), '127.0.0.1');
