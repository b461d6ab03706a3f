#include "eval/load/server_kind.h"

#include <chrono>
#include <thread>

#include "eval/results/result_file.h"

namespace ft::eval {

namespace {

constexpr int kStillLoading = 503;
constexpr std::chrono::seconds kLoadingMost(60);
constexpr std::chrono::milliseconds kAskEvery(200);

}  // namespace

Result<ServerKind> ask_server(const std::string& address, const std::string& wanted,
                              const CallLimits& limits) {
  const auto url = parse_url(address);
  if (!url) return tl::make_unexpected(url.error());
  const HttpCall call{url->base + "/models", "", 0.0};
  HttpReply reply = run_calls(*url, std::span(&call, 1), limits).front();
  // A server that has just been started answers with 503 while it loads its model.
  const auto until = std::chrono::steady_clock::now() + kLoadingMost;
  while (reply.status == kStillLoading && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(kAskEvery);
    reply = run_calls(*url, std::span(&call, 1), limits).front();
  }
  if (reply.error != CallError::kNone)
    return fail(ErrorCode::kUnavailable, "{}{}: {}", address, call.target, reply.message);
  const Json models = Json::parse(reply.events.empty() ? "" : reply.events.front().data, nullptr, false)
                          .value("data", Json());
  std::string names;
  for (const Json& model : models.is_array() ? models : Json::array()) {
    const std::string name = model.value("id", "");
    if (wanted.empty() || name == wanted) return ServerKind{name, model.value("owned_by", "")};
    names += (names.empty() ? "" : ", ") + name;
  }
  if (names.empty()) return fail(ErrorCode::kUnavailable, "{}{}: lists no models", address, call.target);
  return fail(ErrorCode::kInvalidArgument, "{} has no model {}; it has {}", address, wanted, names);
}

}  // namespace ft::eval
