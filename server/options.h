// Everything the server can be told, once, at its start.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/error.h"
#include "server/http/http_options.h"

namespace ft::server {

inline constexpr int kTreeNodesMax = 64;  // of --tree-nodes, and of requests where it fixes the number

struct Options : HttpOptions {
  // What is served.
  std::string model;                            // checkpoint folder; "" = the embedded nano checkpoint
  std::vector<std::string> served_model_names;  // default: the folder's name
  std::string backend = "auto";                 // auto, cpu, cuda, reference
  std::string mode = "official";                // official, exact
  std::string prefill_gemm = "invariant";       // invariant, cublaslt
  int threads = 0;                              // of the CPU backend; 0 = all cores
  std::string cpu_target = "auto";              // its instruction set (core/cpu/target.h)
  int ranks = 0;                                // processes that share the model; 0 = as launched
  int rank_timeout = 5;                         // seconds without a sign of life until a rank is given up
  std::string drafter = "auto";                 // one of draft::drafter_names()
  int tree_nodes = 0;               // rows verified per request and step; 0 = the scheduler decides
  std::string tree = "best-first";  // best-first, chain
  int max_sequences = 8;            // requests decoded at the same time
  int64_t context = 0;              // tokens of one request; 0 = what the checkpoint says
  int64_t kv_cache_mib = 0;         // memory of the cache; 0 = for one of `context` or max_sequences of 16384
  int64_t prefix_cache_mib = 256;   // states of prompts that were read; 0 = none are kept
  int batch_rows = 256;             // rows of one step, of prompts and drafts together
  int prefill_chunk = 128;          // prompt rows of one request and step; at most batch_rows
  double canary_rate = 0.0002;      // share of steps that are computed again and compared
  std::string state_dir;            // where learned costs and calibration are kept; "" = nowhere
  int queue = 64;                   // requests waiting for a slot
  std::string chat_profile = "auto";   // auto, preview, 0731
  bool thinking = true;                // mode of a chat that does not say
  int64_t default_max_tokens = 32768;  // of requests that name none

  // To whom.
  std::vector<std::string> api_keys;       // empty = everybody
  std::vector<std::string> allowed_hosts;  // besides local names, of a keyless server on a loopback address
  std::string cors_origin;                 // "" = no CORS headers
  int64_t response_store_mib = 64;         // replies of /v1/responses that requests may refer to
  int max_priority = 0;                    // largest priority of a request, either way
  int drain_seconds = 30;                  // running replies after a signal, before they are cancelled

  std::string log_level = "info";
  bool check = false;  // load, print what would be served, exit
};

// What the command line takes for state_dir where it is not told: ~/.cache/foretoken, with the home folder
// that the user database names; "" where there is no such folder.
std::string default_state_dir();

// As one line of JSON; keys are counted, not printed.
std::string options_json(const Options& options);

// `foretoken-server chat`: the terminal client.
struct ChatOptions {
  std::string url = "http://127.0.0.1:8000";
  std::string api_key;
  std::string model;                 // "" = the server's first
  std::string system;                // system message
  std::string thinking = "default";  // on, off, default
  double temperature = -1.0;         // < 0 = the server's default
  int64_t max_tokens = 0;            // 0 = the server's default
};

// Help or version text that was asked for.
struct PrintAndExit {
  std::string text;
};

using Command = std::variant<Options, ChatOptions, PrintAndExit>;

// Reads the command line: a config file (--config FILE, `key = value` lines with the names of the flags),
// then flags over it. kInvalidArgument with one message that names the flag.
Result<Command> parse_command_line(int argc, const char* const* argv);

}  // namespace ft::server
