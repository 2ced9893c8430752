// Tells the hub, and nobody else, in which time zone this browser is, so that times are shown in it.
// Without this file they are shown in UTC, or in the zone that was chosen in the profile.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const line = `__Host-sso_zone=${zone}`;
if (zone && !document.cookie.split("; ").includes(line)) {
  document.cookie = `${line}; Path=/; Secure; SameSite=Lax`;
}
