// Requests to responses: the endpoints, access rules and the state of the process. Knows no network.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "encoding/ordered_json.h"
#include "server/api/response_store.h"
#include "server/api/router.h"
#include "server/generation/reply.h"
#include "server/generation/served_model.h"
#include "server/http/http_service.h"
#include "server/metrics.h"
#include "server/options.h"

namespace ft::server {

class Service : public HttpService {
 public:
  explicit Service(const Options& options);

  // From now on requests are served. Any thread.
  void set_model(std::shared_ptr<const ServedModel> model);
  // 0 to 1, for /health while loading. Any thread.
  void set_load_progress(double share) { load_progress_.store(share); }
  // From now on generation is refused with 503 and /health says so. Running replies go on. Any thread.
  void begin_stop() { stopping_.store(true); }

  int64_t body_bytes_max() const override;
  void identify(HttpRequest& request) const override;
  std::optional<HttpResponse> admit(const HttpRequest& head) override;
  Outcome handle(const HttpRequest& request, const std::function<void()>& notify) override;
  // x-request-id and CORS.
  std::vector<Header> headers(const HttpRequest& request) const override;
  HttpResponse refuse_early(const HttpRequest& request, const ApiError& error) override;

 private:
  std::shared_ptr<const ServedModel> model() const;
  ApiResult<std::shared_ptr<const ServedModel>> ready_model() const;
  ApiResult<void> check_host(const HttpRequest& request) const;
  ApiResult<void> check_key(const HttpRequest& request) const;
  ApiResult<void> check_head(const HttpRequest& request, const Route& route) const;
  HttpResponse refused(const HttpRequest& request, const ApiError& error);
  ApiResult<HttpResponse> answer(const HttpRequest& request, const Route& route);
  ApiResult<std::unique_ptr<Reply>> generate(const HttpRequest& request, const encoding::Json& body,
                                             const Dialect& dialect, const std::function<void()>& notify);
  HttpResponse health() const;
  void reply_finished(const ReplySummary& summary);

  const Options options_;
  Metrics metrics_;
  ResponseStore responses_;
  mutable std::mutex mutex_;  // of model_
  std::shared_ptr<const ServedModel> model_;
  std::atomic<double> load_progress_{0.0};
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> fork_groups_{0};  // given out so far; each prompt of each request has its own
};

}  // namespace ft::server
