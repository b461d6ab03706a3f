// Requests to responses: the endpoints, access rules and the state of the process. Knows no network.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "encoding/ordered_json.h"
#include "server/http_message.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/reply.h"
#include "server/router.h"
#include "server/served_model.h"

namespace ft::server {

// A response that is complete, or a reply that a session is to pump.
using Outcome = std::variant<HttpResponse, std::unique_ptr<Reply>>;

class Service {
 public:
  explicit Service(const Options& options);

  // From now on requests are served. Any thread.
  void set_model(std::shared_ptr<const ServedModel> model);
  // 0 to 1, for /health while loading. Any thread.
  void set_load_progress(double share) { load_progress_.store(share); }
  // From now on generation is refused with 503 and /health says so. Running replies go on. Any thread.
  void begin_stop() { stopping_.store(true); }

  // Gives the request its id. Call before handle() and headers().
  void identify(HttpRequest& request) const;
  // What the head of a request alone is refused for: its host, key, path, method or kind of body. None: the
  // body may be read. Any thread.
  std::optional<HttpResponse> admit(const HttpRequest& head);
  // Answers any request, and admits it first. `notify` is called, on the engine's thread, whenever the reply
  // can be pumped. Any thread.
  Outcome handle(const HttpRequest& request, const std::function<void()>& notify);
  // Headers that every response to this request carries: x-request-id and CORS.
  std::vector<Header> headers(const HttpRequest& request) const;
  // An error found before there was a request to handle (malformed HTTP, a body too large).
  HttpResponse refuse_early(const ApiError& error);

 private:
  std::shared_ptr<const ServedModel> model() const;
  ApiResult<std::shared_ptr<const ServedModel>> ready_model() const;
  ApiResult<void> check_host(const HttpRequest& request) const;
  ApiResult<void> check_key(const HttpRequest& request) const;
  ApiResult<void> check_head(const HttpRequest& request, const Route& route) const;
  HttpResponse refused(const HttpRequest& request, const ApiError& error);
  // 400 on `field` for more choices than can be running and waiting.
  ApiResult<void> check_room(size_t choices, std::string field) const;
  ApiResult<HttpResponse> answer(const HttpRequest& request, const Route& route) const;
  ApiResult<std::unique_ptr<Reply>> generate(const HttpRequest& request, const encoding::Json& body,
                                             Endpoint endpoint, const std::function<void()>& notify);
  ApiResult<std::unique_ptr<Reply>> chat(const HttpRequest& request, const encoding::Json& body,
                                         std::shared_ptr<const ServedModel> model,
                                         const std::function<void()>& notify);
  ApiResult<std::unique_ptr<Reply>> complete(const HttpRequest& request, const encoding::Json& body,
                                             std::shared_ptr<const ServedModel> model,
                                             const std::function<void()>& notify);
  HttpResponse health() const;
  void reply_finished(const ReplySummary& summary);

  const Options options_;
  Metrics metrics_;
  mutable std::mutex mutex_;  // of model_
  std::shared_ptr<const ServedModel> model_;
  std::atomic<double> load_progress_{0.0};
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> fork_groups_{0};  // given out so far; each prompt of each request has its own
};

}  // namespace ft::server
