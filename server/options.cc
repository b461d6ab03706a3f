#include "server/options.h"

#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "server/api/request_params.h"
#include "server/version.h"

namespace ft::server {
namespace {

constexpr int64_t kMebibytesMax = int64_t{1} << 24;
constexpr int64_t kMaxConfigBytes = 1 << 20;

bool is_control(char c) {
  const auto code = static_cast<unsigned char>(c);
  return code < 0x20 || code == 0x7F;
}

void add_model_flags(CLI::App& app, Options& options) {
  app.add_option("--model", options.model, "Checkpoint folder (default: the embedded nano checkpoint)")
      ->group("Model");
  app.add_option("--served-model-name", options.served_model_names,
                 "Names of the model in the API, comma-separated")
      ->delimiter(',')
      ->group("Model");
  app.add_option("--backend", options.backend, "auto, cpu, cuda or reference")
      ->check(CLI::IsMember({"auto", "cpu", "cuda", "reference"}))
      ->group("Model");
  app.add_option("--mode", options.mode, "official (activation quantisation as trained) or exact")
      ->check(CLI::IsMember({"official", "exact"}))
      ->group("Model");
  app.add_option("--threads", options.threads, "Threads of the CPU backend, 0 = all cores")
      ->check(CLI::Range(0, 1024))
      ->group("Model");
  app.add_option("--drafter", options.drafter, "auto, dspark, mtp, ngram, dspark+ngram, mtp+ngram or none")
      ->check(CLI::IsMember({"auto", "dspark", "mtp", "ngram", "dspark+ngram", "mtp+ngram", "none"}))
      ->group("Model");
  app.add_option("--tree-nodes", options.tree_nodes,
                 "Rows verified per request and step: 0 = the scheduler decides, 1 = plain decoding")
      ->check(CLI::Range(0, kTreeNodesMax))
      ->group("Model");
  app.add_option("--tree", options.tree, "best-first or chain")
      ->check(CLI::IsMember({"best-first", "chain"}))
      ->group("Model");
  app.add_option("--max-sequences", options.max_sequences, "Requests decoded at the same time")
      ->check(CLI::Range(1, 4096))
      ->group("Model");
  app.add_option("--context", options.context, "Tokens of one request, 0 = what the checkpoint says")
      ->check(CLI::NonNegativeNumber)
      ->group("Model");
  app.add_option("--kv-cache-mib", options.kv_cache_mib,
                 "Memory of the cache, 0 = what --max-sequences requests of --context tokens need")
      ->check(CLI::Range(int64_t{0}, kMebibytesMax))
      ->group("Model");
  app.add_option("--prefix-cache-mib", options.prefix_cache_mib,
                 "Memory of prompts that were read before, 0 = none are kept")
      ->check(CLI::Range(int64_t{0}, kMebibytesMax))
      ->group("Model");
  app.add_option("--batch-rows", options.batch_rows, "Rows of one step, of prompts and drafts together")
      ->check(CLI::Range(1, 65536))
      ->group("Model");
  app.add_option("--prefill-chunk", options.prefill_chunk,
                 "Prompt rows of one request and step, at most --batch-rows")
      ->check(CLI::Range(1, 65536))
      ->group("Model");
  app.add_option("--canary-rate", options.canary_rate,
                 "Share of steps whose rows are computed again, alone, and compared; 0 = none")
      ->check(CLI::Range(0.0, 1.0))
      ->group("Model");
  app.add_option("--state-dir", options.state_dir,
                 "Folder for what was learned of costs and drafts, '' = keep nothing "
                 "(default: ~/.cache/foretoken)")
      ->group("Model");
  app.add_option("--queue", options.queue, "Requests waiting for a slot; beyond, 429")
      ->check(CLI::Range(1, 1'000'000))
      ->group("Model");
  app.add_option("--chat-profile", options.chat_profile, "Revision of the chat format: auto, preview or 0731")
      ->check(CLI::IsMember({"auto", "preview", "0731"}))
      ->group("Model");
  app.add_option("--thinking", options.thinking, "Whether a chat that does not say thinks: true or false")
      ->group("Model");
  app.add_option("--default-max-tokens", options.default_max_tokens, "max_tokens of requests that name none")
      ->check(CLI::PositiveNumber)
      ->group("Model");
}

void add_network_flags(CLI::App& app, Options& options) {
  app.add_option("--host", options.host, "Address to listen on")->group("Network");
  app.add_option("--port", options.port, "Port, 0 = any free one")
      ->check(CLI::Range(0, 65535))
      ->group("Network");
  app.add_option("--io-threads", options.io_threads, "Threads for sockets")
      ->check(CLI::Range(1, 256))
      ->group("Network");
  app.add_option("--text-threads", options.text_threads,
                 "Threads that parse and tokenize request bodies; one of them takes the large ones")
      ->check(CLI::Range(1, 256))
      ->group("Network");
  app.add_option("--api-key", options.api_keys,
                 "Keys that clients must send, comma-separated (default: none)")
      ->delimiter(',')
      ->group("Network");
  app.add_option("--allowed-hosts", options.allowed_hosts,
                 "Names besides localhost that a server without keys on a loopback address answers to, "
                 "comma-separated, * = any")
      ->delimiter(',')
      ->group("Network");
  app.add_option("--cors-origin", options.cors_origin,
                 "Origin whose pages may call from a browser, * = all (default: none)")
      ->group("Network");
  const auto limit = [&](const char* flag, auto& value, const char* help, double max) {
    app.add_option(flag, value, help)->check(CLI::Range(1.0, max))->group("Limits");
  };
  limit("--max-body-bytes", options.max_body_bytes, "Largest request body", 1e9);
  limit("--max-buffered-bytes", options.max_buffered_bytes, "Request bodies of all connections together",
        1e12);
  limit("--max-header-bytes", options.max_header_bytes, "Largest request head", kHeaderBytesMax);
  limit("--max-connections", options.max_connections, "Open connections", 1e6);
  limit("--idle-seconds", options.idle_seconds, "A kept connection without a request", 1e6);
  limit("--request-seconds", options.request_seconds, "From a request's first byte to its last", 1e6);
  limit("--write-seconds", options.write_seconds, "A client that reads nothing while bytes wait for it", 1e6);
  limit("--keepalive-seconds", options.keepalive_seconds, "Silence in a stream before a comment is sent",
        1e6);
  app.add_option("--max-priority", options.max_priority,
                 "Largest `priority` of a request, either way; 0 = all requests are equal")
      ->check(CLI::Range(0, kPriorityMax))
      ->group("Limits");
  app.add_option("--drain-seconds", options.drain_seconds, "Time for running replies after SIGINT or SIGTERM")
      ->check(CLI::Range(0, 86400))
      ->group("Limits");
}

void add_chat_flags(CLI::App& app, ChatOptions& options) {
  app.add_option("--url", options.url, "Server, http://host:port")->capture_default_str();
  app.add_option("--api-key", options.api_key, "Key of the server");
  app.add_option("--model", options.model, "Model name (default: the server's first)");
  app.add_option("--system", options.system, "System message");
  app.add_option("--thinking", options.thinking, "on, off or default")
      ->check(CLI::IsMember({"on", "off", "default"}));
  app.add_option("--temperature", options.temperature, "Sampling temperature (default: the server's)")
      ->check(CLI::Range(0.0, 100.0));
  app.add_option("--max-tokens", options.max_tokens, "Longest reply in tokens")->check(CLI::PositiveNumber);
}

}  // namespace

std::string default_state_dir() {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 16384> text{};
  if (getpwuid_r(getuid(), &entry, text.data(), text.size(), &found) != 0 || found == nullptr) return {};
  std::error_code error;
  const std::filesystem::path home = found->pw_dir;
  // Users of services have a home that is not there, and nothing should be made in its place.
  return std::filesystem::is_directory(home, error) ? (home / ".cache" / "foretoken").string() : "";
}

std::string options_json(const Options& options) {
  const nlohmann::ordered_json json = {
      {"model", options.model},
      {"served_model_names", options.served_model_names},
      {"backend", options.backend},
      {"mode", options.mode},
      {"threads", options.threads},
      {"drafter", options.drafter},
      {"tree_nodes", options.tree_nodes},
      {"tree", options.tree},
      {"max_sequences", options.max_sequences},
      {"context", options.context},
      {"kv_cache_mib", options.kv_cache_mib},
      {"prefix_cache_mib", options.prefix_cache_mib},
      {"batch_rows", options.batch_rows},
      {"prefill_chunk", options.prefill_chunk},
      {"canary_rate", options.canary_rate},
      {"state_dir", options.state_dir},
      {"queue", options.queue},
      {"chat_profile", options.chat_profile},
      {"thinking", options.thinking},
      {"default_max_tokens", options.default_max_tokens},
      {"host", options.host},
      {"port", options.port},
      {"io_threads", options.io_threads},
      {"text_threads", options.text_threads},
      {"api_keys", options.api_keys.size()},
      {"allowed_hosts", options.allowed_hosts},
      {"cors_origin", options.cors_origin},
      {"max_body_bytes", options.max_body_bytes},
      {"max_buffered_bytes", options.max_buffered_bytes},
      {"max_header_bytes", options.max_header_bytes},
      {"max_connections", options.max_connections},
      {"idle_seconds", options.idle_seconds},
      {"request_seconds", options.request_seconds},
      {"write_seconds", options.write_seconds},
      {"keepalive_seconds", options.keepalive_seconds},
      {"max_priority", options.max_priority},
      {"drain_seconds", options.drain_seconds},
      {"log_level", options.log_level},
      {"check", options.check},
  };
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Result<Command> parse_command_line(int argc, const char* const* argv) {
  Options options;
  options.state_dir = default_state_dir();
  ChatOptions chat;
  CLI::App app("Foretoken: a speculative-decoding-first inference server for DeepSeek-V4",
               "foretoken-server");
  app.set_version_flag("--version", std::string(kVersion));
  app.set_config("--config", "", "File with `flag = value` lines; flags on the command line win")
      ->check(CLI::Validator(
          [](const std::string& path) {
            // Looked at before it is parsed, which would wait for a pipe and read a device for ever.
            const auto text = read_file(path, kMaxConfigBytes);
            return text ? std::string() : text.error().message;
          },
          "FILE"));
  app.allow_config_extras(CLI::config_extras_mode::error);
  add_model_flags(app, options);
  add_network_flags(app, options);
  app.add_option("--log-level", options.log_level, "trace, debug, info, warn, error or off")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}));
  app.add_flag("--check", options.check, "Load, print what would be served as JSON, and exit");
  CLI::App* chat_app = app.add_subcommand("chat", "Talk to a running server in the terminal");
  add_chat_flags(*chat_app, chat);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return PrintAndExit{chat_app->parsed() ? chat_app->help() : app.help()};
  } catch (const CLI::CallForVersion&) {
    return PrintAndExit{std::string(kVersion) + "\n"};
  } catch (const CLI::ParseError& error) {
    return fail(ErrorCode::kInvalidArgument, "{}", error.what());
  }
  if (chat_app->parsed()) return chat;
  // It goes into a header of every reply.
  if (std::any_of(options.cors_origin.begin(), options.cors_origin.end(), is_control))
    return fail(ErrorCode::kInvalidArgument,
                "--cors-origin has a control character, expected an origin or *");
  // A range does not see NaN.
  if (std::isnan(options.canary_rate))
    return fail(ErrorCode::kInvalidArgument, "--canary-rate is nan, expected 0 to 1");
  // An unset variable in a script would open the server to everybody.
  const auto is_blank = [](const std::string& key) {
    return key.find_first_not_of(" \t") == std::string::npos;
  };
  if (app.get_option("--api-key")->count() > 0 &&
      (options.api_keys.empty() || std::any_of(options.api_keys.begin(), options.api_keys.end(), is_blank)))
    return fail(ErrorCode::kInvalidArgument,
                "--api-key has an empty key: name one, or leave the flag out to "
                "serve everybody");
  if (options.max_buffered_bytes < options.max_body_bytes)
    return fail(ErrorCode::kInvalidArgument,
                "--max-buffered-bytes is {}, expected at least --max-body-bytes, {}",
                options.max_buffered_bytes, options.max_body_bytes);
  // Who makes steps small does not have to say so twice.
  if (app.get_option("--prefill-chunk")->count() == 0)
    options.prefill_chunk = std::min(options.prefill_chunk, options.batch_rows);
  if (options.prefill_chunk > options.batch_rows)
    return fail(ErrorCode::kInvalidArgument, "--prefill-chunk is {}, expected at most --batch-rows, {}",
                options.prefill_chunk, options.batch_rows);
  return options;
}

}  // namespace ft::server
