#include "encoding/completion_parser.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <set>

#include "encoding/chat_template.h"
#include "encoding/reference_reader.h"
#include "encoding/utf8.h"
#include "tests/encoding/vectors.h"

namespace ft::encoding {
namespace {

using Kind = ParserEvent::Kind;

ParserOptions options_of(const Json& item) {
  return {.thinking = item.get("thinking_mode") == Json("thinking")};
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
  EXPECT_EQ(parser.complete_calls(), static_cast<int>(builder.message().tool_calls.size()));
  return builder.message();
}

void for_each_vector(const std::function<void(const Json&)>& check) {
  for (const Json& item : read_cases("encoding/parse_cases.jsonl", 114)) {
    SCOPED_TRACE(item.get("id").dump() + " " + item.get("tag").dump());
    check(item);
  }
}

std::vector<std::string_view> one_by_one(std::string_view text) {
  const std::vector<size_t> borders = character_borders(text);
  std::vector<std::string_view> pieces;
  for (size_t i = 0; i + 1 < borders.size(); ++i) {
    pieces.push_back(text.substr(borders[i], borders[i + 1] - borders[i]));
  }
  return pieces;
}

// The reading of `text`, which must be the same whole, character by character and at every two-cut.
AssistantMessage read_in_all_cuts(std::string_view text, const ParserOptions& options,
                                  TextEnd end = TextEnd::kCut) {
  AssistantMessage whole = stream({text}, options, end);
  EXPECT_EQ(stream(one_by_one(text), options, end), whole) << text;
  for (const size_t border : character_borders(text)) {
    EXPECT_EQ(stream({text.substr(0, border), text.substr(border)}, options, end), whole)
        << text.substr(0, border) << " || " << text.substr(border);
  }
  return whole;
}

bool is_json_object(const std::string& text) {
  const EncodingResult<Json> value = Json::parse(text);
  return value && value->is_object();
}

// What the reference accepts means the same, but for heads whose attributes it reads into a name and for arguments
// that are no JSON.
TEST(CompletionParser, AgreesWithTheReferenceWhereItAccepts) {
  const std::set<std::string> odd_heads{"invoke_extra_attr", "name_nongreedy", "head_quote_gt"};
  for_each_vector([&](const Json& item) {
    if (!item.contains("expected")) return;
    // A call that the text leaves open counts if the model ended its turn.
    const TextEnd end = item.get("tag") == Json("unclosed_invoke") ? TextEnd::kEos : TextEnd::kCut;
    AssistantMessage read = read_in_all_cuts(item.get("text").as_string(), options_of(item), end);
    if (odd_heads.contains(item.get("tag").as_string())) return;
    Json expected = item.get("expected");
    for (size_t i = 0; i < read.tool_calls.size() && i < expected.get("tool_calls").size(); ++i) {
      Json& function = *expected.find("tool_calls")->as_array()[i].find("function");
      EXPECT_TRUE(is_json_object(read.tool_calls[i].arguments)) << read.tool_calls[i].arguments;
      if (!is_json_object(function.get("arguments").as_string())) {
        function.set("arguments", read.tool_calls[i].arguments);
      }
    }
    EXPECT_EQ(read.to_json().dump(), expected.dump());
  });
}

// Calls as models write them, in place of what they were taught.
TEST(CompletionParser, TolerantVectors) {
  for (const Json& item : read_cases("encoding/tolerant_cases.jsonl", 29)) {
    SCOPED_TRACE(item.get("id").dump());
    const AssistantMessage read = read_in_all_cuts(item.get("text").as_string(), options_of(item));
    const Json& want = item.get("want");
    EXPECT_EQ(read.content, want.get("content").as_string());
    EXPECT_EQ(read.reasoning_content, want.get("reasoning").as_string());
    Json calls = Json::array();
    for (const ToolCall& call : read.tool_calls) {
      const EncodingResult<Json> arguments = Json::parse(call.arguments);
      ASSERT_TRUE(arguments) << call.arguments;
      calls.push_back(Json::Array{call.name, *arguments});
    }
    const Json::Array& any = want.get("calls_any").as_array();
    EXPECT_TRUE(std::find(any.begin(), any.end(), calls) != any.end()) << calls.dump();
  }
}

// Any text at all: the cut does not matter, and arguments are JSON.
TEST(CompletionParser, TakesAnyText) {
  const std::string parts[] = {std::string(40, ' '),
                               std::string(150, ' '),
                               std::string(300, '\n'),
                               "<｜DSML｜param",
                               "</｜DSML｜",
                               "<think>",
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
  for (int round = 0; round < 8000; ++round) {
    std::string text;
    for (size_t i = random() % 24; i > 0; --i) text += parts[random() % std::size(parts)];
    const ParserOptions options{
        .thinking = random() % 2 == 0, .tools_offered = random() % 4 != 0, .eos_in_text = random() % 2 == 0};
    const TextEnd end = random() % 2 == 0 ? TextEnd::kCut : TextEnd::kEos;
    const AssistantMessage whole = stream({text}, options, end);
    ASSERT_EQ(stream(one_by_one(text), options, end), whole) << text;
    for (const ToolCall& call : whole.tool_calls) {
      EXPECT_TRUE(is_json_object(call.arguments)) << text << "\n" << call.arguments;
    }
    EXPECT_TRUE(options.tools_offered || whole.tool_calls.empty());
  }
}

// Text that cannot be a marker any more is not held back.
TEST(CompletionParser, ShowsTextAsSoonAsItIsCertain) {
  CompletionParser parser({.thinking = true});
  EXPECT_EQ(parser.feed("I thi"), (std::vector<ParserEvent>{{Kind::kReasoning, "I thi"}}));
  EXPECT_EQ(parser.feed("nk.\n"), (std::vector<ParserEvent>{{Kind::kReasoning, "nk."}}));
  EXPECT_EQ(parser.feed("So <"), (std::vector<ParserEvent>{{Kind::kReasoning, "\nSo"}}));
  EXPECT_FALSE(parser.reasoning_ended());
  EXPECT_EQ(parser.feed("/think>A"),
            (std::vector<ParserEvent>{{Kind::kReasoning, " "}, {Kind::kContent, "A"}}));
  EXPECT_TRUE(parser.reasoning_ended());
  EXPECT_EQ(parser.feed("\n\n<｜DS"), std::vector<ParserEvent>{});
  EXPECT_EQ(parser.feed("X"), (std::vector<ParserEvent>{{Kind::kContent, "\n\n<｜DSX"}}));
  EXPECT_EQ(parser.feed("\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n"),
            (std::vector<ParserEvent>{{Kind::kToolCallBegin, "f", 0}}));
  EXPECT_EQ(parser.feed("<｜DSML｜parameter name=\"a\" string=\"true\">x\"y"),
            (std::vector<ParserEvent>{{Kind::kToolArguments, "{\"a\": \"x\\\"y", 0}}));
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
  return read_in_all_cuts(text, {.thinking = thinking, .tools_offered = tools_offered}, end);
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
  // (5) No tools offered: the markup is not shown, the text around it is.
  const std::string block = kOpen + kCallF + kClose;
  EXPECT_EQ(tolerant("c" + block, false, TextEnd::kCut, false), (AssistantMessage{"c", "", {}}));
  EXPECT_EQ(tolerant("c" + block + "\nd", false, TextEnd::kCut, false), (AssistantMessage{"c\nd", "", {}}));
  EXPECT_EQ(tolerant("r" + block + "</think>c", true, TextEnd::kCut, false),
            (AssistantMessage{"c", "r", {}}));
  // (6) Text after the block, and calls after that.
  EXPECT_EQ(tolerant("c" + block + "\nmore" + block, false), (AssistantMessage{"c", "", {kF, kF}}));
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
            (AssistantMessage{"\njunk", "", {kF, kF}}));
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
      (AssistantMessage{"", "", {{"g", R"({"a": 1, "b": "2", "b": "3"})"}}}));
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
  const ParserOptions options{.thinking = false, .tools_offered = true, .eos_in_text = false};
  EXPECT_EQ(stream({"write <｜end▁of▁", "sentence｜> to stop"}, options, TextEnd::kEos).content,
            "write <｜end▁of▁sentence｜> to stop");
}

TEST(CompletionParser, TakesOddMarkup) {
  const auto calls = [](const std::string& text, TextEnd end = TextEnd::kEos) {
    std::string out;
    const AssistantMessage read = tolerant("Hi" + text, false, end);
    EXPECT_EQ(read.content, "Hi") << text;
    for (const ToolCall& call : read.tool_calls) out += call.name + call.arguments;
    return out;
  };
  // A JSON object in place of parameters, markup inside its strings, and what is no object.
  EXPECT_EQ(calls("\n<｜DSML｜invoke name=\"f\">\n{\"a\": [\"</｜DSML｜invoke>\\\"\"]}\n</｜DSML｜invoke>"),
            R"(f{"a": ["</｜DSML｜invoke>\""]})");
  EXPECT_EQ(calls("\n<｜DSML｜invoke name=\"f\">{a: 1}</｜DSML｜invoke>"), R"(f{"arguments": "{a: 1}"})");
  EXPECT_EQ(calls("\n<｜DSML｜invoke name=\"f\">{\"a\": 1"), "");
  // Bars, quotes, space, the slash in another place, no bars.
  EXPECT_EQ(calls("<|DSML|tool_calls><|DSML|invoke name='f'><|DSML|parameter name='a' string='true'>x"
                  "</|DSML|parameter></|DSML|invoke></|DSML|tool_calls>"),
            R"(f{"a": "x"})");
  EXPECT_EQ(calls("\n\n<｜DSML｜ calls>\n<｜DSML｜ invoke name=\"f\">\n<｜DSML｜ parameter name=\"a\" "
                  "string=\"true\">x"
                  "<｜DSML｜/parameter>\n</｜DSML｜ invoke>\n</｜DSML｜ calls>"),
            R"(f{"a": "x"})");
  EXPECT_EQ(
      calls(kOpen + "<invoke name=\"f\">\n<parameter name=\"a\">[1]</parameter>\n</invoke>\n</tool_calls>"),
      R"(f{"a": [1]})");
  // Values that other markup ends, and markup that is part of a value.
  EXPECT_EQ(calls(kOpen +
                  "<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" string=\"true\">x\n"
                  "<｜DSML｜parameter name=\"b\" string=\"true\">y\n</｜DSML｜invoke>" +
                  kClose),
            R"(f{"a": "x", "b": "y"})");
  EXPECT_EQ(
      calls(kOpen +
            "<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" string=\"true\">x</｜DSML｜invoke> y"
            "</｜DSML｜invoke></｜DSML｜parameter>\n</｜DSML｜invoke>" +
            kClose),
      R"(f{"a": "x</｜DSML｜invoke> y</｜DSML｜invoke>"})");
  // Values that are said to be JSON.
  const auto json = [&](const std::string& value) {
    return calls(kOpen + "<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" string=\"false\">" +
                 value + "</｜DSML｜parameter>\n</｜DSML｜invoke>" + kClose);
  };
  EXPECT_EQ(json("Oslo"), R"(f{"a": "Oslo"})");
  EXPECT_EQ(json("True"), R"(f{"a": "True"})");
  EXPECT_EQ(json("NaN"), R"(f{"a": "NaN"})");
  EXPECT_EQ(json("[1, Infinity]"), R"(f{"a": "[1, Infinity]"})");
  EXPECT_EQ(json(" {\"b\": null} "), R"(f{"a":  {"b": null} })");
}

TEST(CompletionParser, QuotedMarkupIsText) {
  for (const std::string text :
       {"Write <｜DSML｜tool_calls> first, then <｜DSML｜invoke name=\"f\"> with a name.",
        "It ends with </｜DSML｜invoke> there.", "`</｜DSML｜parameter>` closes it",
        "<｜DSML｜other> is no tag"}) {
    EXPECT_EQ(tolerant(text, false), (AssistantMessage{text, "", {}}));
    EXPECT_EQ(tolerant(text, true), (AssistantMessage{"", text, {}}));
  }
}

// Mutations of good blocks. Whatever happens to white space, bars and closing tags, every call is found; wherever
// the text ends, no markup shows.
TEST(CompletionParser, MutatedBlocksKeepTheirCalls) {
  std::mt19937 random(31);
  const auto pick = [&](std::initializer_list<const char*> choices) {
    return std::string(*(choices.begin() + random() % choices.size()));
  };
  for (int round = 0; round < 3000; ++round) {
    const std::string bars = pick({"｜", "｜", "|", "｜｜", "||"});
    const std::string dsml = bars + "DSML" + bars;
    const auto space = [&] { return pick({"\n", "\n", "", " ", "\n\n", "\r\n", "\t"}); };
    const bool wrapped = random() % 4 != 0, thinking = random() % 3 == 0;
    std::string text = thinking && random() % 2 == 0 ? "Hi</think>" : "Hi";
    text += pick({"\n\n", "\n", " ", "", "\t\n"});
    const std::string block = pick({"tool_calls", "tool_calls", "function_calls", "toolcalls"});
    if (wrapped) text += "<" + dsml + block + ">" + space();
    std::vector<ToolCall> expected;
    for (size_t calls = 1 + random() % 3; calls > 0; --calls) {
      ToolCall call{"tool" + std::to_string(random() % 9), ""};
      const std::string quote = pick({"\"", "\"", "'"});
      text += "<" + dsml + "invoke name=" + quote + call.name + quote + ">" + space();
      for (size_t k = 0; k < random() % 3; ++k) {
        const std::string key = "k" + std::to_string(k);
        const bool string = random() % 2 == 0;
        const std::string value = string
                                      ? pick({"x", "", "two\nlines", "a < b", "</div>", "</", "{\"a\": 1}"})
                                      : pick({"1", "[1, 2]", "{\"a\": \"b\"}", "null", "\"s\""});
        text += "<" + dsml + "parameter name=" + quote + key + quote;
        text +=
            " string=" + quote + (string ? pick({"true", "True"}) : pick({"false", "False"})) + quote + ">";
        text += value + "</" + dsml + pick({"parameter", "parameter", "paramter", "param"}) + ">" + space();
        call.arguments += call.arguments.empty() ? "{" : ", ";
        append_json_string(call.arguments, key);
        call.arguments += ": ";
        if (string) {
          append_json_string(call.arguments, value);
        } else {
          call.arguments += value;
        }
      }
      call.arguments += call.arguments.empty() ? "{}" : "}";
      // Only inside a block may the next call end one without parameters.
      if (!wrapped || random() % 4 != 0)
        text += "</" + dsml + pick({"invoke", "invok"}) + pick({">", ">", " >"}) + space();
      expected.push_back(call);
    }
    if (random() % 4 != 0) text += "</" + dsml + block + ">";
    const ParserOptions options{.thinking = thinking};
    const AssistantMessage whole = stream({text}, options, TextEnd::kEos);
    ASSERT_EQ(whole.tool_calls, expected) << text;
    ASSERT_EQ(whole.content + whole.reasoning_content, "Hi") << text;
    ASSERT_EQ(stream(one_by_one(text), options, TextEnd::kEos), whole) << text;
    // Truncated anywhere.
    const std::vector<size_t> borders = character_borders(text);
    const size_t cut = borders[random() % borders.size()];
    const std::string_view torn = std::string_view(text).substr(0, cut);
    for (const TextEnd end : {TextEnd::kCut, TextEnd::kEos}) {
      const AssistantMessage part = stream({torn}, options, end);
      ASSERT_EQ(stream(one_by_one(torn), options, end), part) << torn;
      ASSERT_EQ((part.content + part.reasoning_content).find("DSML"), std::string::npos) << torn;
      for (const ToolCall& call : part.tool_calls) ASSERT_TRUE(is_json_object(call.arguments)) << torn;
      ASSERT_LE(part.tool_calls.size(), expected.size()) << torn;
    }
    // Not offered: no calls, and no markup.
    const AssistantMessage hidden =
        stream({text}, {.thinking = thinking, .tools_offered = false}, TextEnd::kEos);
    ASSERT_TRUE(hidden.tool_calls.empty());
    ASSERT_EQ((hidden.content + hidden.reasoning_content).find("DSML"), std::string::npos) << text;
  }
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
  // Markup that waits for what follows does not look at all of it again.
  CompletionParser parser(ParserOptions{});
  parser.feed("</｜DSML｜invoke");
  for (int i = 0; i < 100000; ++i) parser.feed(" ");
  parser.finish(TextEnd::kCut);
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
  const auto count = [&](const std::string& text) {
    CompletionParser parser(ParserOptions{});
    int64_t ends = 0;
    for (const ParserEvent& event : parser.feed(text)) {
      EXPECT_TRUE(is_valid_utf8(event.text));
      ends += event.kind == Kind::kToolCallEnd;
    }
    return ends;
  };
  EXPECT_EQ(count(calls + "</｜DSML｜tool_calls>\n"), 20000);
  EXPECT_EQ(count(parameters + close + "</｜DSML｜tool_calls>\n"), 1);
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
    options.thinking = thinking;
    options.context.resize(1);  // a user's message
    const EncodingResult<Prompt> prompt = encode_chat(Json::Array{message}, options);
    ASSERT_TRUE(prompt) << prompt.error().message;
    const EncodingResult<AssistantMessage> strict = read_as_reference(prompt->text, thinking);
    ASSERT_TRUE(strict) << prompt->text << strict.error().message;
    EXPECT_EQ(*strict, turn) << prompt->text;
    EXPECT_EQ(stream(one_by_one(prompt->text), {.thinking = thinking}), turn) << prompt->text;
  }
}

}  // namespace
}  // namespace ft::encoding
