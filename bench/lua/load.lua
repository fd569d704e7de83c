-- wrk -s load.lua URL -- SHAPE PREFIX PARTICIPANT BRANCHES
-- A saga is one call, and any number of connections may share a thread. The other shapes are several calls in turn: they
-- want as many threads as connections, for each thread goes through its own sequence. No gid is used twice.

local API = "/api/dtmsvr/"
local DIGITS = 8
local threads = 0
local calls, number, step = {}, 0, 0
local prefix

local function post(verb, body)
  return ("POST %s%s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s"):format(API, verb, #body, body)
end

local function list(count, item)
  local items = {}
  for i = 1, count do items[i] = item end
  return table.concat(items, ",")
end

local PAYLOAD = [["{\"amount\":30}"]]
local shapes = {}

function shapes.saga(gid, url, branches)
  local body = '{"gid":"%s","trans_type":"saga","wait_result":true,"steps":[%s],"payloads":[%s]}'
  local item = ('{"action":"%s/action","compensate":"%s/undo"}'):format(url, url)
  return { post("submit", body:format(gid, list(branches, item), list(branches, PAYLOAD))) }
end

function shapes.msg(gid, url, branches)
  local body = '{"gid":"%s","trans_type":"msg","wait_result":true,"query_prepared":"%s","steps":[%s],"payloads":[%s]}'
  local item = ('{"action":"%s/action"}'):format(url)
  body = body:format(gid, url .. "/query", list(branches, item), list(branches, PAYLOAD))
  return { post("prepare", body), post("submit", body) }
end

function shapes.tcc(gid, url, branches)
  local whole = ('{"gid":"%s","trans_type":"tcc","wait_result":true}'):format(gid)
  local branch = '{"gid":"%s","trans_type":"tcc","branch_id":"%02d","data":%s,"confirm":"%s","cancel":"%s"}'
  local made = { post("prepare", whole) }
  for i = 1, branches do
    made[i + 1] = post("registerBranch", branch:format(gid, i, PAYLOAD, url .. "/confirm", url .. "/cancel"))
  end
  made[branches + 2] = post("submit", whole)
  return made
end

-- A text as the list of what stands between the places of the gid.
local function split(text, place)
  local parts, from = {}, 1
  while true do
    local first, last = text:find(place, from, true)
    parts[#parts + 1] = text:sub(from, (first or 0) - 1)
    if not first then return parts end
    from = last + 1
  end
end

function setup(thread)
  threads = threads + 1
  thread:set("index", threads)
end

function init(args)
  prefix = ("%s-%03d-"):format(args[2], index)
  local place = ("@"):rep(#prefix + DIGITS)  -- as long as a gid, so that every Content-Length is right
  for i, text in ipairs(shapes[args[1]](place, args[3], tonumber(args[4]))) do calls[i] = split(text, place) end
  if index == 1 then step = #calls - 1 end  -- wrk looks at one request of the first thread, and does not send it
end

function request()
  step = step % #calls + 1
  if step == 1 then number = number + 1 end
  return table.concat(calls[step], ("%s%0" .. DIGITS .. "d"):format(prefix, number))
end

-- Times in microseconds. `errors`: what failed below HTTP, and answers that were no success.
function done(summary, latency)
  local e = summary.errors
  io.write(('{"responses":%d,"us":%d,"p50":%d,"p99":%d,"errors":%d}\n'):format(
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
