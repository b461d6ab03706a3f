#include "server/engine_backend.h"

#include <utility>

namespace ft::server {

Result<std::shared_ptr<scheduler::TokenStream>> EngineBackend::submit(scheduler::GenerateRequest request,
                                                                      std::function<void()> notify) {
  return engine_->submit(std::move(request), std::move(notify));
}

scheduler::EngineStats EngineBackend::stats() const {
  return engine_->stats();
}

}  // namespace ft::server
