// `foretoken-eval bench server`: what the server costs beside its engine: streams over real sockets, with an engine
// that follows a script.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "core/error.h"
#include "eval/report.h"

namespace ft::eval {

struct BenchServerOptions {
  std::string model;         // folder or file of the tokenizer
  std::string api = "chat";  // one of bench_server_apis()
  int32_t streams = 64;      // at the same time
  int64_t steps = 2000;      // timed, after as many as a tenth of them to warm up
  int32_t tokens_per_step = 1;
  int64_t ahead = 0;             // steps that the engine may be ahead of the slowest client
  int32_t io_threads = 1;        // of the server
  int64_t prompt_tokens = 8192;  // of the requests whose first token is timed
  int32_t prompts = 20;          // such requests, one after another
  std::string json;              // also written here when set
};

// What --api takes: "chat, completions, responses, messages".
std::string bench_server_apis();

struct BenchServerResult {
  double io_us_per_event = 0.0;      // processor time of the server's threads
  double engine_us_per_event = 0.0;  // processor time of the engine's thread: pushing tokens, waking sessions
  double events_per_second = 0.0;    // by the clock
  double event_p50_us = 0.0;         // from the push to the client
  double event_p99_us = 0.0;
  int64_t prompt_tokens = 0;  // as the server counts them
  double first_p50_ms = 0.0;  // from the request to its first token, the engine taking no time
  double first_p99_ms = 0.0;
};

// An event is what one step of one stream gives. With ahead = 0 a step waits until every client has the last one, so
// that each event is sent by itself; otherwise the server may send those of several steps together.
// Processor time per event includes what the kernel does for the server's calls, not what clients do.
// kInvalidArgument for values below 1, unknown APIs and what the tokenizer's loader refuses; kUnavailable when a reply
// fails.
Result<BenchServerResult> bench_server(const BenchServerOptions& options);

Report bench_server_report(const BenchServerOptions& options, const BenchServerResult& result);

// The whole command, with a table on `out`.
Result<void> run_bench_server(const BenchServerOptions& options, std::FILE* out);

}  // namespace ft::eval
