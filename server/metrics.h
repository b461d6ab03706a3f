// The counters of the process in Prometheus' text form: names of vLLM where one exists, foretoken_* else.
#pragma once

#include <memory>
#include <string>

#include "scheduler/engine.h"
#include "server/generation/reply.h"

namespace ft::server {

class Metrics {
 public:
  Metrics();
  ~Metrics();

  // Any thread.
  void reply_finished(const ReplySummary& summary);
  void request_refused(int status);

  // The text of /metrics. `stats` is null while there is no engine; `model` labels its series.
  std::string render(const scheduler::EngineStats* stats, const std::string& model) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ft::server
