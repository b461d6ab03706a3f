#include "eval/load/arrivals.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <sstream>

#include "core/file.h"
#include "eval/results/result_file.h"

namespace ft::eval {

namespace {

constexpr int64_t kMaxTraceBytes = int64_t{1} << 30;

Result<std::vector<TraceRequest>> trace_of_result(const ResultFile& result, const std::string& path,
                                                  int32_t level) {
  std::vector<TraceRequest> trace;
  const auto read = read_json(path, [&] {
    for (const Json& row : result.rows)
      if (row.at("level") == level && row.at("error") == "")
        trace.push_back({row.at("sent_s"), row.at("prompt_tokens"), row.at("completion_tokens")});
  });
  if (!read) return tl::make_unexpected(read.error());
  return trace;
}

Result<std::vector<TraceRequest>> trace_of_lines(const std::string& text, const std::string& path) {
  std::istringstream lines(text);
  std::vector<TraceRequest> trace;
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const Json json = Json::parse(line, nullptr, false);
    const std::string where = fmt::format("{}:{}", path, number);
    if (!json.is_object() || !json.value("timestamp", Json()).is_number())
      return fail(ErrorCode::kInvalidFile, "{}: has no timestamp in seconds", where);
    TraceRequest request;
    const auto read = read_json(where, [&] {
      request.at = json.at("timestamp");
      request.prompt_tokens = json.value("prompt_tokens", int64_t{0});
      request.completion_tokens = json.value("completion_tokens", int64_t{0});
    });
    if (!read) return tl::make_unexpected(read.error());
    if (!trace.empty() && request.at < trace.back().at)
      return fail(ErrorCode::kInvalidFile, "{}: timestamp {} is before the one above", where, request.at);
    trace.push_back(request);
  }
  return trace;
}

}  // namespace

Result<std::vector<double>> make_arrivals(const std::string& kind, double rate, size_t count, uint64_t seed) {
  if (kind != "poisson" && kind != "constant")
    return fail(ErrorCode::kInvalidArgument, "arrivals is \"{}\", expected poisson or constant", kind);
  if (!(rate > 0.0)) return fail(ErrorCode::kInvalidArgument, "rate is {}, expected more than 0", rate);
  std::mt19937_64 random(seed);
  std::vector<double> times(count);
  double at = 0.0;
  for (double& time : times) {
    time = at;
    // Not a distribution of the library, whose draws differ between implementations.
    const double uniform = (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53;
    at += kind == "constant" ? 1.0 / rate : -std::log(uniform) / rate;
  }
  return times;
}

Result<std::vector<TraceRequest>> read_trace(const std::string& path, int32_t level) {
  const auto text = read_file(path, kMaxTraceBytes);
  if (!text) return tl::make_unexpected(text.error());
  const Json whole = Json::parse(*text, nullptr, false);
  Result<std::vector<TraceRequest>> trace;
  if (whole.is_object() && whole.value("schema", Json()) == kResultSchema) {
    const auto result = parse_result(*text, path);
    if (!result) return tl::make_unexpected(result.error());
    if (result->kind != "load")
      return fail(ErrorCode::kInvalidFile, "{}: a result of {}, expected one of load", path, result->kind);
    trace = trace_of_result(*result, path, level);
  } else {
    trace = trace_of_lines(*text, path);
  }
  if (!trace) return trace;
  if (trace->empty()) return fail(ErrorCode::kInvalidFile, "{}: has no requests of level {}", path, level);
  const double first = trace->front().at;
  for (TraceRequest& request : *trace) request.at -= first;
  return trace;
}

}  // namespace ft::eval
