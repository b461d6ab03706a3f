#include "server/options.h"

#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "core/file.h"
#include "server/option_list.h"
#include "server/version.h"

namespace ft::server {
namespace {

constexpr int64_t kMaxConfigBytes = 1 << 20;

bool is_control(char c) {
  const auto code = static_cast<unsigned char>(c);
  return code < 0x20 || code == 0x7F;
}

std::string flag_of(const OptionText& text) {
  return "--" + std::string(text.flag);
}

// Adds each option to a parser.
struct AddFlags {
  CLI::App& app;

  template <class T, class Bounds>
  void operator()(const OptionText& text, T& value, const Bounds& bounds) const {
    if constexpr (std::is_same_v<T, bool>) {
      // --check is a switch; --thinking has an answer.
      (value ? app.add_option(flag_of(text), value, std::string(text.help))
             : app.add_flag(flag_of(text), value, std::string(text.help)))
          ->group(std::string(text.group));
      return;
    } else {
      CLI::Option* option = app.add_option(flag_of(text), value, std::string(text.help));
      option->group(std::string(text.group));
      if constexpr (std::is_same_v<T, std::vector<std::string>>) option->delimiter(',');
      if constexpr (std::is_same_v<Bounds, Range>) option->check(within(bounds));
      if constexpr (std::is_same_v<Bounds, OneOf>)
        option->check(CLI::IsMember(std::vector<std::string>(bounds.begin(), bounds.end())));
    }
  }

  static CLI::Validator within(const Range& range) {
    return CLI::Validator(
        [range](const std::string& text) {
          double value = 0.0;
          // Written so that NaN is outside.
          if (CLI::detail::lexical_cast(text, value) && value >= range.least && value <= range.most)
            return std::string();
          return fmt::format("is {}, expected {} to {}", text, range.least, range.most);
        },
        fmt::format("{} to {}", range.least, range.most));
  }
};

// Writes each option into an object.
struct WriteJson {
  nlohmann::ordered_json& json;

  template <class T, class Bounds>
  void operator()(const OptionText& text, const T& value, const Bounds&) const {
    std::string key(text.flag);
    std::replace(key.begin(), key.end(), '-', '_');
    if constexpr (std::is_same_v<Bounds, Secret>) {
      json[key] = value.size();
    } else {
      json[key] = value;
    }
  }
};

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
  nlohmann::ordered_json json;
  visit_options(options, WriteJson{json});
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
  visit_options(options, AddFlags{app});
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
