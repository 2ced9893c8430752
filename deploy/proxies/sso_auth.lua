-- Forward auth for HAProxy 2.6 and later: asks the edge about each request, by HAProxy's own HTTP client.
--
--   global:    lua-load sso_auth.lua
--   frontend:  http-request lua.sso_auth 127.0.0.1:8000 __Secure-sso_session,__Host-sso_hub
--              http-request deny deny_status 503 unless { var(txn.sso_passed) -m bool }
--
-- Arguments: where the edge is, and the cookies that the app does not get.

-- What the edge is told of the request, and no more.
local TELL = {
  "host", "cookie", "origin", "accept", "sec-fetch-mode", "sec-fetch-dest", "x-requested-with", "service-worker",
  "upgrade", "access-control-request-method", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
}
local IDENTITY = { "remote-user", "remote-groups", "remote-name", "remote-email", "remote-id" }
-- Belong to one connection (RFC 9110 7.6.1), or are written anew.
local HOP = { ["connection"] = true, ["keep-alive"] = true, ["transfer-encoding"] = true, ["content-length"] = true }
-- HAProxy asks three times more when there is no answer: six seconds in all. The edge takes one at most.
local MILLISECONDS = 1500

-- All lines of one header as one text; HAProxy counts them from 0.
local function joined(lines, by)
  local found, at = {}, 0
  while lines and lines[at] do
    found[#found + 1] = lines[at]
    at = at + 1
  end
  return #found > 0 and table.concat(found, by) or nil
end

local function ask(txn, edge, headers)
  local tell = {
    ["x-forwarded-method"] = { txn.sf:method() },
    ["x-forwarded-uri"] = { txn.sf:pathq() },
  }
  for _, name in ipairs(TELL) do
    local value = joined(headers[name], name == "cookie" and "; " or ", ")
    if value then tell[name] = { value } end
  end
  local url = "http://" .. edge .. "/api/authz/forward-auth"
  return core.httpclient():get({ url = url, headers = tell, timeout = MILLISECONDS })
end

-- The Cookie header without ours, a list with commas.
local function others(header, ours)
  local kept, hidden = {}, {}
  for name in ours:gmatch("[^,]+") do hidden[name] = true end
  for pair in header:gmatch("[^;]+") do
    local name = pair:match("^[ \t]*([^=]-)[ \t]*=") or ""
    if not hidden[name] then kept[#kept + 1] = pair:match("^[ \t]*(.-)[ \t]*$") end
  end
  return table.concat(kept, "; ")
end

local function pass(txn, headers, answer, ours)
  for _, name in ipairs(IDENTITY) do
    txn.http:req_set_header(name, joined(answer.headers[name], ",") or "")
  end
  local cookies = joined(headers["cookie"], "; ")
  if cookies then
    local rest = others(cookies, ours)
    txn.http:req_del_header("cookie")
    if rest ~= "" then txn.http:req_set_header("cookie", rest) end
  end
  txn:set_var("txn.sso_passed", true)
end

local function refuse(txn, answer)
  local reply = txn:reply({ status = answer.status, body = answer.body or "" })
  for name, lines in pairs(answer.headers or {}) do
    local at = 0
    while not HOP[name] and lines[at] do
      reply:add_header(name, lines[at])
      at = at + 1
    end
  end
  txn:done(reply)
end

core.register_action("sso_auth", { "http-req" }, function(txn, edge, ours)
  local headers = txn.http:req_get_headers()
  local answer = ask(txn, edge, headers)
  local status = answer and answer.status or 0
  if status >= 200 and status < 300 then
    pass(txn, headers, answer, ours)
  elseif status >= 300 then
    refuse(txn, answer)
  end
  -- Neither: the line after this action answers 503.
end, 2)
