// The list of the server's options: each stands here once, with its flag, help and range. The command line,
// the config file, --help and the JSON of the log come from it. Its default stands in options.h.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "draft/drafter_registry.h"
#include "server/options.h"

namespace ft::server {

struct OptionText {
  std::string_view group;
  std::string_view flag;  // "max-sequences"; in JSON "max_sequences"
  std::string_view help;
};

struct Range {
  double least = 0.0;
  double most = 0.0;
};

using OneOf = std::vector<std::string_view>;

// Words that may be anything, lists with commas, and switches have no bounds.
struct Anything {};
// A list whose entries are told to nobody.
struct Secret {};

// Calls visit(text, member, bounds) for every option, in the order of --help; bounds are Range for numbers,
// OneOf for words, else Anything or Secret.
template <class AnyOptions, class Visit>
void visit_options(AnyOptions& o, Visit&& visit) {
  constexpr double kMebibytesMax = 1 << 24;
  constexpr double kSecondsMax = 1e6;
  constexpr std::string_view kModel = "Model";
  visit({kModel, "model", "Checkpoint folder (default: the embedded nano checkpoint)"}, o.model, Anything{});
  visit({kModel, "served-model-name", "Names of the model in the API, comma-separated"}, o.served_model_names,
        Anything{});
  visit({kModel, "backend", "What computes; auto takes a CUDA device where there is one"}, o.backend,
        OneOf{"auto", "cpu", "cuda", "reference"});
  visit({kModel, "mode", "official (activation quantisation as trained) or exact"}, o.mode,
        OneOf{"official", "exact"});
  visit({kModel, "prefill-gemm",
         "Linears of more than 64 prompt rows of a request: invariant = as all others, cublaslt = by "
         "cuBLASLt on a "
         "CUDA device; replies then depend on how prompts were split into steps (docs/cuda.md)"},
        o.prefill_gemm, OneOf{"invariant", "cublaslt"});
  visit({kModel, "threads", "Threads of the CPU backend, 0 = all cores"}, o.threads, Range{0, 1024});
  visit({kModel, "cpu-target",
         "Instruction set of the CPU backend; auto takes the best, and all give the same replies"},
        o.cpu_target, OneOf{"auto", "avx512-bf16", "avx512-vnni", "avx512", "avx2"});
  visit(
      {kModel, "ranks",
       "Processes that share the model, each with its part: 1, 2, 4 or 8, as the launcher has started them; "
       "`./foretoken serve` starts them itself (docs/deployment.md)"},
      o.ranks, Range{0, 8});
  visit({kModel, "rank-timeout", "Seconds without a sign of life after which a rank is given up"},
        o.rank_timeout, Range{1, 3600});
  visit({kModel, "drafter", "Where drafts come from; auto takes what the checkpoint has"}, o.drafter,
        OneOf(draft::drafter_names().begin(), draft::drafter_names().end()));
  visit({kModel, "tree-nodes",
         "Rows verified per request and step: 0 = the scheduler decides, 1 = plain decoding"},
        o.tree_nodes, Range{0, kTreeNodesMax});
  visit({kModel, "tree", "Shape of the drafts"}, o.tree, OneOf{"best-first", "chain"});
  visit({kModel, "max-sequences", "Requests decoded at the same time"}, o.max_sequences, Range{1, 4096});
  visit({kModel, "context", "Tokens of one request, 0 = what the checkpoint says"}, o.context, Range{0, 1e9});
  visit({kModel, "kv-cache-mib",
         "Memory of the cache, 0 = for one request of --context tokens, or --max-sequences of 16384 if that "
         "is more"},
        o.kv_cache_mib, Range{0, kMebibytesMax});
  visit({kModel, "prefix-cache-mib", "Memory of prompts that were read before, 0 = none are kept"},
        o.prefix_cache_mib, Range{0, kMebibytesMax});
  visit({kModel, "batch-rows", "Rows of one step, of prompts and drafts together"}, o.batch_rows,
        Range{1, 65536});
  visit({kModel, "prefill-chunk", "Prompt rows of one request and step, at most --batch-rows"},
        o.prefill_chunk, Range{1, 65536});
  visit(
      {kModel, "canary-rate", "Share of steps whose rows are computed again, alone, and compared; 0 = none"},
      o.canary_rate, Range{0, 1});
  visit({kModel, "state-dir",
         "Folder for what was learned of costs and drafts, '' = keep nothing (default: ~/.cache/foretoken)"},
        o.state_dir, Anything{});
  visit({kModel, "queue", "Requests waiting for a slot; beyond, 429"}, o.queue, Range{1, 1e6});
  visit({kModel, "chat-profile", "Revision of the chat format"}, o.chat_profile,
        OneOf{"auto", "preview", "0731"});
  visit({kModel, "thinking", "Whether a chat that does not say thinks: true or false"}, o.thinking,
        Anything{});
  visit({kModel, "default-max-tokens", "max_tokens of requests that name none"}, o.default_max_tokens,
        Range{1, 1e9});

  constexpr std::string_view kNetwork = "Network";
  visit({kNetwork, "host", "Address to listen on"}, o.host, Anything{});
  visit({kNetwork, "port", "Port, 0 = any free one"}, o.port, Range{0, 65535});
  visit({kNetwork, "io-threads", "Threads for sockets"}, o.io_threads, Range{1, 256});
  visit({kNetwork, "text-threads",
         "Threads that parse and tokenize request bodies; one of them takes the large ones"},
        o.text_threads, Range{1, 256});
  visit({kNetwork, "api-key", "Keys that clients must send, comma-separated (default: none)"}, o.api_keys,
        Secret{});
  visit({kNetwork, "allowed-hosts",
         "Names besides localhost that a server without keys on a loopback address answers to, "
         "comma-separated, "
         "* = any"},
        o.allowed_hosts, Anything{});
  visit({kNetwork, "cors-origin", "Origin whose pages may call from a browser, * = all (default: none)"},
        o.cors_origin, Anything{});

  constexpr std::string_view kLimits = "Limits";
  visit({kLimits, "max-body-bytes",
         "Largest request body; 0 = 8 MiB, or 16 bytes for each token of the context where that is more"},
        o.max_body_bytes, Range{0, 1e9});
  visit({kLimits, "max-buffered-bytes", "Request bodies of all connections together"}, o.max_buffered_bytes,
        Range{1, 1e12});
  visit({kLimits, "max-header-bytes", "Largest request head"}, o.max_header_bytes, Range{1, kHeaderBytesMax});
  visit({kLimits, "max-connections", "Open connections"}, o.max_connections, Range{1, 1e6});
  visit({kLimits, "idle-seconds", "A kept connection without a request"}, o.idle_seconds,
        Range{1, kSecondsMax});
  visit({kLimits, "request-seconds", "From a request's first byte to its last"}, o.request_seconds,
        Range{1, kSecondsMax});
  visit({kLimits, "write-seconds", "A client that reads nothing while bytes wait for it"}, o.write_seconds,
        Range{1, kSecondsMax});
  visit({kLimits, "keepalive-seconds", "Silence in a stream before a comment is sent"}, o.keepalive_seconds,
        Range{1, kSecondsMax});
  visit({kLimits, "response-store-mib",
         "Memory of replies that /v1/responses keeps for later requests, 0 = none are kept"},
        o.response_store_mib, Range{0, kMebibytesMax});
  visit({kLimits, "max-priority", "Largest `priority` of a request, either way; 0 = all requests are equal"},
        o.max_priority, Range{0, INT32_MAX});
  visit({kLimits, "drain-seconds", "Time for running replies after SIGINT, SIGTERM or SIGHUP"},
        o.drain_seconds, Range{0, 86400});

  constexpr std::string_view kOptions = "Options";
  visit({kOptions, "log-level", "Least severe lines of the log"}, o.log_level,
        OneOf{"trace", "debug", "info", "warn", "error", "off"});
  visit({kOptions, "check", "Load, print what would be served as JSON, and exit"}, o.check, Anything{});
}

}  // namespace ft::server
