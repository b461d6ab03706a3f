#include "encoding/completion_parser.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "encoding/chat_template.h"
#include "encoding/utf8.h"
#include "tests/encoding/vectors.h"

namespace ft::encoding {
namespace {

using Kind = ParserEvent::Kind;

ParserOptions strict_options(const Json& item) {
  return {.thinking = item.get("thinking_mode") == Json("thinking"), .strict = true};
}

// Offsets where the text may be cut: between characters.
std::vector<size_t> character_borders(std::string_view text) {
  std::vector<size_t> borders{0};
  while (borders.back() < text.size())
    borders.push_back(borders.back() + read_utf8(text, borders.back()).length);
  return borders;
}

// Feeds the pieces, checks the order of the events, and returns the message (with the calls that ended).
AssistantMessage stream(const std::vector<std::string_view>& pieces, const ParserOptions& options,
                        TextEnd end = TextEnd::kCut) {
  CompletionParser parser(options);
  MessageBuilder builder;
  int open = -1, begun = 0;
  bool content_seen = false, calls_seen = false;
  const auto take = [&](const std::vector<ParserEvent>& events) {
    for (size_t i = 0; i < events.size(); ++i) {
      const ParserEvent& event = events[i];
      if (event.kind == Kind::kReasoning || event.kind == Kind::kContent ||
          event.kind == Kind::kToolArguments) {
        EXPECT_FALSE(event.text.empty());
        EXPECT_TRUE(is_valid_utf8(event.text));
        EXPECT_FALSE(i > 0 && event.kind == events[i - 1].kind && event.index == events[i - 1].index);
      }
      EXPECT_FALSE(event.kind == Kind::kReasoning && (content_seen || calls_seen));
      EXPECT_FALSE(event.kind == Kind::kContent && calls_seen);
      content_seen |= event.kind == Kind::kContent;
      if (event.kind == Kind::kToolCallBegin) {
        calls_seen = true;
        EXPECT_EQ(event.index, begun++);
        open = event.index;
      }
      EXPECT_TRUE(event.kind != Kind::kToolArguments || event.index == open);
      if (event.kind == Kind::kToolCallEnd) {
        EXPECT_EQ(event.index, open);
        open = -1;
      }
      builder.add(event);
    }
  };
  for (const std::string_view piece : pieces) take(parser.feed(piece));
  const std::vector<ParserEvent> last = parser.finish(end);
  take(last);
  EXPECT_EQ(last.back().kind, Kind::kDone);
  EXPECT_FALSE(parser.error()) << parser.error()->message;
  EXPECT_EQ(parser.complete_calls(), static_cast<int>(builder.message().tool_calls.size()));
  return builder.message();
}

void for_each_vector(const std::function<void(const Json&)>& check) {
  for (const Json& item : read_cases("encoding/parse_cases.jsonl", 114)) {
    SCOPED_TRACE(item.get("id").dump() + " " + item.get("tag").dump());
    check(item);
  }
}

TEST(CompletionParser, SharedVectors) {
  for_each_vector([](const Json& item) {
    const EncodingResult<AssistantMessage> message =
        parse_completion(item.get("text").as_string(), strict_options(item));
    if (const Json* error = item.find("error")) {
      ASSERT_FALSE(message) << message->to_json().dump();
      EXPECT_EQ(reference_name(message.error().kind), error->get("type").as_string());
    } else {
      ASSERT_TRUE(message) << message.error().message;
      EXPECT_EQ(message->to_json().dump(), item.get("expected").dump());
    }
  });
}

// The refusals do not depend on how the text is cut either.
TEST(CompletionParser, EveryTwoCutAndEveryCharacterStreamTheSame) {
  for_each_vector([](const Json& item) {
    const std::string& text = item.get("text").as_string();
    const std::vector<size_t> borders = character_borders(text);
    std::vector<std::string_view> characters;
    for (size_t i = 0; i + 1 < borders.size(); ++i) {
      characters.push_back(std::string_view(text).substr(borders[i], borders[i + 1] - borders[i]));
    }
    std::vector<std::vector<std::string_view>> cuts{characters};
    for (const size_t border : borders) {
      cuts.push_back({std::string_view(text).substr(0, border), std::string_view(text).substr(border)});
    }
    for (const auto& pieces : cuts) {
      if (item.contains("expected")) {
        EXPECT_EQ(stream(pieces, strict_options(item)).to_json().dump(), item.get("expected").dump());
        continue;
      }
      CompletionParser parser(strict_options(item));
      for (const std::string_view piece : pieces) parser.feed(piece);
      parser.finish(TextEnd::kCut);
      ASSERT_TRUE(parser.error());
      EXPECT_EQ(reference_name(parser.error()->kind), item.get("error").get("type").as_string());
    }
  });
}

// What the reference accepts means the same in tolerant mode, but for a call that the text leaves open.
TEST(CompletionParser, TolerantModeAgreesWhereStrictAccepts) {
  for_each_vector([](const Json& item) {
    if (!item.contains("expected")) return;
    ParserOptions options = strict_options(item);
    options.strict = false;
    const bool left_open = item.get("tag") == Json("unclosed_invoke");
    const std::string& text = item.get("text").as_string();
    std::mt19937 random(17);
    const std::vector<size_t> borders = character_borders(text);
    for (int round = 0; round < 20; ++round) {
      std::vector<std::string_view> pieces;
      for (size_t i = 0; i + 1 < borders.size();) {
        const size_t next = std::min(borders.size() - 1, i + 1 + random() % (round == 0 ? 1 : 30));
        pieces.push_back(std::string_view(text).substr(borders[i], borders[next] - borders[i]));
        i = next;
      }
      EXPECT_EQ(stream(pieces, options, left_open ? TextEnd::kEos : TextEnd::kCut).to_json().dump(),
                item.get("expected").dump());
    }
  });
}

// Any text at all: tolerant mode has no errors, and the cut does not matter.
TEST(CompletionParser, TolerantModeTakesAnyText) {
  const char* const parts[] = {"<think>",
                               "</think>",
                               "\n",
                               "\n\n",
                               "<",
                               "｜DSML｜",
                               "</",
                               "tool_calls",
                               ">",
                               ">\n",
                               "invoke",
                               " name=\"",
                               "f",
                               "\">",
                               "\">\n",
                               "parameter",
                               "\" string=\"",
                               "true",
                               "false",
                               "x",
                               "{\"a\": 1}",
                               "<｜end▁of▁sentence｜>",
                               "你",
                               "\"",
                               "\\",
                               "<｜DSML｜invoke name=\"f\">\n",
                               "\n\n<｜DSML｜tool_calls>\n",
                               "</｜DSML｜invoke>\n",
                               "<｜DSML｜parameter name=\"a\" string=\"true\">",
                               "</｜DSML｜parameter>\n",
                               "</｜DSML｜tool_calls>"};
  std::mt19937 random(23);
  for (int round = 0; round < 4000; ++round) {
    std::string text;
    for (size_t i = random() % 24; i > 0; --i) text += parts[random() % std::size(parts)];
    const ParserOptions options{.thinking = random() % 2 == 0,
                                .strict = false,
                                .tools_offered = random() % 4 != 0,
                                .eos_in_text = random() % 2 == 0};
    const TextEnd end = random() % 2 == 0 ? TextEnd::kCut : TextEnd::kEos;
    const AssistantMessage whole = stream({text}, options, end);
    const std::vector<size_t> borders = character_borders(text);
    std::vector<std::string_view> pieces;
    for (size_t i = 0; i + 1 < borders.size(); ++i) {
      pieces.push_back(std::string_view(text).substr(borders[i], borders[i + 1] - borders[i]));
    }
    ASSERT_EQ(stream(pieces, options, end), whole) << text;
    if (options.tools_offered) {
      EXPECT_EQ(whole.content.find("\n\n<｜DSML｜tool_calls"), std::string::npos) << text;
    } else {
      EXPECT_TRUE(whole.tool_calls.empty());
    }
  }
}

// Text that cannot be a marker any more is not held back.
TEST(CompletionParser, ShowsTextAsSoonAsItIsCertain) {
  CompletionParser parser({.thinking = true});
  EXPECT_EQ(parser.feed("I thi"), (std::vector<ParserEvent>{{Kind::kReasoning, "I thi"}}));
  EXPECT_EQ(parser.feed("nk.\n"), (std::vector<ParserEvent>{{Kind::kReasoning, "nk."}}));
  EXPECT_EQ(parser.feed("So <"), (std::vector<ParserEvent>{{Kind::kReasoning, "\nSo "}}));
  EXPECT_FALSE(parser.reasoning_ended());
  EXPECT_EQ(parser.feed("/think>A"), (std::vector<ParserEvent>{{Kind::kContent, "A"}}));
  EXPECT_TRUE(parser.reasoning_ended());
  EXPECT_EQ(parser.feed("\n\n<｜DS"), std::vector<ParserEvent>{});
  EXPECT_EQ(parser.feed("X"), (std::vector<ParserEvent>{{Kind::kContent, "\n\n<｜DSX"}}));
  EXPECT_EQ(parser.feed("\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n"),
            std::vector<ParserEvent>{});
  EXPECT_EQ(parser.feed("<｜DSML｜parameter name=\"a\" string=\"true\">x\"y"),
            (std::vector<ParserEvent>{{Kind::kToolCallBegin, "f", 0},
                                      {Kind::kToolArguments, "{\"a\": \"x\\\"y", 0}}));
  EXPECT_EQ(parser.feed(" < "), (std::vector<ParserEvent>{{Kind::kToolArguments, " < ", 0}}));
  EXPECT_EQ(parser.feed("z</｜DSML｜parameter>\n"),
            (std::vector<ParserEvent>{{Kind::kToolArguments, "z\"", 0}}));
  EXPECT_EQ(parser.feed("</｜DSML｜invoke>"),
            (std::vector<ParserEvent>{{Kind::kToolArguments, "}", 0}, {Kind::kToolCallEnd, "", 0}}));
  EXPECT_EQ(parser.complete_calls(), 1);
  EXPECT_EQ(parser.finish(TextEnd::kEos), (std::vector<ParserEvent>{{Kind::kDone, ""}}));
}

const std::string kCallF =
    "<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" string=\"false\">1</｜DSML｜parameter>\n"
    "</｜DSML｜invoke>\n";
const std::string kOpen = "\n\n<｜DSML｜tool_calls>\n";
const std::string kClose = "</｜DSML｜tool_calls>";
const ToolCall kF{"f", "{\"a\": 1}"};

AssistantMessage tolerant(const std::string& text, bool thinking, TextEnd end = TextEnd::kCut,
                          bool tools_offered = true) {
  return stream({text}, {.thinking = thinking, .strict = false, .tools_offered = tools_offered}, end);
}

TEST(CompletionParser, ToleratesWhatModelsGetWrong) {
  // (1) A block inside reasoning.
  EXPECT_EQ(tolerant("r" + kOpen + kCallF + kClose, true), (AssistantMessage{"", "r", {kF}}));
  // (2) The end inside reasoning.
  EXPECT_EQ(tolerant("still thinking", true), (AssistantMessage{"", "still thinking", {}}));
  EXPECT_EQ(tolerant("r<｜end▁of▁sentence｜>", true), (AssistantMessage{"", "r", {}}));
  // (3) Torn calls are dropped, markup is not shown.
  for (const char* torn :
       {"<｜DSML｜inv", "<｜DSML｜invoke name=\"g", "<｜DSML｜invoke name=\"g\">\n<｜DSML｜par",
        "<｜DSML｜invoke name=\"g\">\n<｜DSML｜parameter name=\"a\" string=\"true\">part"}) {
    EXPECT_EQ(tolerant("c" + kOpen + kCallF + torn, false), (AssistantMessage{"c", "", {kF}})) << torn;
    EXPECT_EQ(tolerant("c" + kOpen + kCallF + torn, false, TextEnd::kEos), (AssistantMessage{"c", "", {kF}}))
        << torn;
  }
  EXPECT_EQ(tolerant("c\n\n<｜DSML｜tool_ca", false), (AssistantMessage{"c", "", {}}));
  EXPECT_EQ(tolerant("c\n\n<", false), (AssistantMessage{"c\n\n<", "", {}}));
  const std::string unclosed = kCallF.substr(0, kCallF.find("</｜DSML｜invoke"));
  EXPECT_EQ(tolerant(kOpen + unclosed, false, TextEnd::kCut), (AssistantMessage{"", "", {}}));
  EXPECT_EQ(tolerant(kOpen + unclosed, false, TextEnd::kEos), (AssistantMessage{"", "", {kF}}));
  // (4) No end of the block.
  EXPECT_EQ(tolerant("c" + kOpen + kCallF, false), (AssistantMessage{"c", "", {kF}}));
  EXPECT_EQ(tolerant(kOpen + kCallF + kCallF + "<｜end▁of▁sentence｜>", false),
            (AssistantMessage{"", "", {kF, kF}}));
  // (5) No tools offered: text.
  const std::string block = kOpen + kCallF + kClose;
  EXPECT_EQ(tolerant("c" + block, false, TextEnd::kCut, false), (AssistantMessage{"c" + block, "", {}}));
  EXPECT_EQ(tolerant("r" + block + "</think>c", true, TextEnd::kCut, false),
            (AssistantMessage{"c", "r" + block, {}}));
  // (6) Text after the block.
  EXPECT_EQ(tolerant("c" + block + "\nmore" + block, false), (AssistantMessage{"c", "", {kF}}));
  // (7) A repeated <think>.
  EXPECT_EQ(tolerant("<think>r</think>c", true), (AssistantMessage{"c", "r", {}}));
  EXPECT_EQ(tolerant("r<think>r</think>c", true), (AssistantMessage{"c", "r<think>r", {}}));
  EXPECT_EQ(tolerant("<thin", true), (AssistantMessage{"", "<thin", {}}));
  // (8) The end right after the block.
  EXPECT_EQ(tolerant("c" + block, false), (AssistantMessage{"c", "", {kF}}));
}

TEST(CompletionParser, TolerantBlocksSkipWhatCannotBeRead) {
  const auto block = [](const std::string& inside) { return kOpen + inside + kClose; };
  EXPECT_EQ(tolerant(block("junk\n" + kCallF + "junk" + kCallF), false),
            (AssistantMessage{"", "", {kF, kF}}));
  EXPECT_EQ(tolerant(block("<｜DSML｜invoke nam=\"g\">\n</｜DSML｜invoke>\n" + kCallF), false),
            (AssistantMessage{"", "", {kF}}));
  EXPECT_EQ(tolerant(block("<｜DSML｜invoke id=\"g\">\n<｜DSML｜parameter name=\"a\" "
                           "string=\"true\">1</｜DSML｜parameter>\n"
                           "</｜DSML｜invoke>\n" +
                           kCallF),
                     false),
            (AssistantMessage{"", "", {kF}}));
  // A head without its newline, a parameter without attributes, a repeated one, a missing invoke close.
  EXPECT_EQ(tolerant(block("<｜DSML｜invoke name=\"g\"></｜DSML｜invoke>"), false),
            (AssistantMessage{"", "", {{"g", "{}"}}}));
  EXPECT_EQ(
      tolerant(block("<｜DSML｜invoke name=\"g\">\n<｜DSML｜parameter name=\"a\">1</｜DSML｜parameter>"
                     "<｜DSML｜parameter key=\"a\">1</｜DSML｜parameter>"
                     "<｜DSML｜parameter name=\"b\" string=\"true\">2</｜DSML｜parameter>"
                     "<｜DSML｜parameter name=\"b\" string=\"true\">3</｜DSML｜parameter></｜DSML｜invoke>"),
               false),
      (AssistantMessage{"", "", {{"g", "{\"b\": \"2\"}"}}}));
  EXPECT_EQ(tolerant(block("<｜DSML｜invoke name=\"g\">\n" + kCallF), false),
            (AssistantMessage{"", "", {{"g", "{}"}, kF}}));
  // A close tag without its '<' is part of the value.
  EXPECT_EQ(tolerant(block("<｜DSML｜invoke name=\"g\">\n<｜DSML｜parameter name=\"a\" string=\"true\">x "
                           "/｜DSML｜parameter "
                           "y</｜DSML｜parameter>\n</｜DSML｜invoke>\n"),
                     false),
            (AssistantMessage{"", "", {{"g", "{\"a\": \"x /｜DSML｜parameter y\"}"}}}));
}

TEST(CompletionParser, QuotedEndOfSentenceIsTextWhenTheIdDecides) {
  const ParserOptions options{
      .thinking = false, .strict = false, .tools_offered = true, .eos_in_text = false};
  EXPECT_EQ(stream({"write <｜end▁of▁", "sentence｜> to stop"}, options, TextEnd::kEos).content,
            "write <｜end▁of▁sentence｜> to stop");
}

TEST(CompletionParser, StrictFinishAtEosEqualsFedEos) {
  const ParserOptions options{.thinking = true, .strict = true};
  EXPECT_EQ(parse_completion("r</think>c", options, TextEnd::kEos)->content, "c");
  EXPECT_EQ(parse_completion("r</think>c<｜end▁of▁sentence｜>", options, TextEnd::kEos)->content, "c");
  EXPECT_FALSE(parse_completion("r</think>c", options, TextEnd::kCut));
}

// A megabyte inside a head or a value costs linear time.
TEST(CompletionParser, LongTextsAreLinear) {
  for (const std::string& start :
       {std::string(), kOpen, kOpen + "<｜DSML｜invoke name=\"",
        kOpen + "<｜DSML｜invoke name=\"f\">\n"
                "<｜DSML｜parameter name=\"",
        kOpen + "<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" string=\"true\">"}) {
    CompletionParser parser(ParserOptions{});
    parser.feed(start);
    for (int i = 0; i < 100000; ++i) parser.feed("<<\n\n");
    parser.finish(TextEnd::kCut);
  }
}

// So do many calls and parameters that come as one text.
TEST(CompletionParser, LongBlocksAreLinear) {
  const std::string open = kOpen + "<｜DSML｜invoke name=\"f\">\n";
  const std::string parameter = "<｜DSML｜parameter name=\"é%\" string=\"true\">世界</｜DSML｜parameter>\n";
  const std::string close = "</｜DSML｜invoke>\n";
  std::string calls = kOpen;
  std::string parameters = open;
  for (int i = 0; i < 20000; ++i) {
    calls += "<｜DSML｜invoke name=\"f\">\n" + close;
    std::string one = parameter;
    one.replace(one.find('%'), 1, std::to_string(i));
    parameters += one;
  }
  for (const bool strict : {false, true}) {
    ParserOptions options;
    options.strict = strict;
    const auto count = [&](const std::string& text, Kind kind) {
      CompletionParser parser(options);
      int64_t seen = 0;
      for (const ParserEvent& event : parser.feed(text)) {
        EXPECT_TRUE(is_valid_utf8(event.text));
        seen += event.kind == kind ? 1 : 0;
      }
      return seen;
    };
    EXPECT_EQ(count(calls + "</｜DSML｜tool_calls>", Kind::kToolCallEnd), 20000);
    EXPECT_EQ(count(parameters + close + "</｜DSML｜tool_calls>", Kind::kToolCallEnd), 1);
  }
}

// Encoding a turn and reading it back gives the turn.
TEST(CompletionParser, ReadsWhatTheEncoderWrites) {
  const char* const texts[] = {"",           "a",        "two\nlines\n", "\n\n", "é 你 😀", "<b>&\"\\",
                               "{\"x\": 1}", "\t\u0001", "< y <",        "/",    "true",   " padded "};
  std::mt19937 random(29);
  const auto text = [&] { return std::string(texts[random() % std::size(texts)]); };
  for (int round = 0; round < 2000; ++round) {
    const bool thinking = random() % 2 == 0;
    AssistantMessage turn;
    turn.content = text();
    if (thinking) turn.reasoning_content = text();
    Json calls = Json::array();
    for (size_t i = random() % 3; i > 0; --i) {
      Json arguments = Json::object();
      for (size_t k = random() % 4; k > 0; --k) {
        Json value = text();
        switch (random() % 4) {
          case 0:
            value = Json::Array{1, 2.5, nullptr, text()};
            break;
          case 1:
            value = static_cast<int>(random() % 100);
            break;
          default:
            break;
        }
        arguments.set("k" + std::to_string(random() % 9), std::move(value));
      }
      const std::string name = "tool" + std::to_string(random() % 5);
      turn.tool_calls.push_back({name, arguments.dump()});
      calls.push_back(Json::Object{
          {"type", "function"}, {"function", Json::Object{{"name", name}, {"arguments", arguments.dump()}}}});
    }
    Json message = turn.to_json();
    message.set("tool_calls", std::move(calls));
    ChatOptions options;
    options.thinking_mode = thinking ? "thinking" : "chat";
    options.context = Json::Array{Json::Object{{"role", "user"}, {"content", "q"}}};
    const EncodingResult<Prompt> prompt = encode_chat(Json::Array{message}, options);
    ASSERT_TRUE(prompt) << prompt.error().message;
    const EncodingResult<AssistantMessage> strict =
        parse_completion(prompt->text, {.thinking = thinking, .strict = true});
    ASSERT_TRUE(strict) << prompt->text << strict.error().message;
    EXPECT_EQ(*strict, turn) << prompt->text;
    EXPECT_EQ(tolerant(prompt->text, thinking), turn) << prompt->text;
  }
}

}  // namespace
}  // namespace ft::encoding
