-- wrk's part: posts the file that the argument names, or gets; then says in one line what came of it.
function init(arguments)
  if arguments[1] then
    wrk.method = "POST"
    wrk.headers["content-type"] = "application/json"
    wrk.body = assert(io.open(arguments[1], "rb")):read("*a")
  end
end

function done(summary, latency)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    "bench %d %d %d %d %d %d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, broken))
end
