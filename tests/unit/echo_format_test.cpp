// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/echo_format.h"

#include <cerrno>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace mb::container {
namespace {

SocketAddress at(const char* address, std::uint16_t port) { return {IpAddress::parse(address), port}; }

const Sighting kUnknown{at("198.51.100.9", 43210), at("172.17.0.2", 80), ENOENT};
const Sighting kRedirected{at("192.168.57.1", 60332), at("192.168.57.3", 1234), at("192.168.57.3", 12345)};

TEST(EchoFormat, LineSaysWhyTheOriginalDestinationIsUnknown) {
  EXPECT_EQ(as_line(kUnknown),
            "source{ip: 198.51.100.9, port: 43210}; dest{ip: 172.17.0.2, port: 80}; "
            "original dest{strerror: No such file or directory, errno: 2}\n");
}

TEST(EchoFormat, LineShowsTheOriginalDestination) {
  EXPECT_EQ(as_line(kRedirected),
            "source{ip: 192.168.57.1, port: 60332}; dest{ip: 192.168.57.3, port: 1234}; "
            "original dest{ip: 192.168.57.3, port: 12345}\n");
}

TEST(EchoFormat, LineShowsIpv6WithoutBrackets) {
  EXPECT_EQ(as_line({at("2001:db8::9", 1), at("2001:db8::1", 80), at("2001:db8::2", 8080)}),
            "source{ip: 2001:db8::9, port: 1}; dest{ip: 2001:db8::1, port: 80}; "
            "original dest{ip: 2001:db8::2, port: 8080}\n");
}

TEST(EchoFormat, JsonHasTheSameFacts) {
  EXPECT_EQ(as_json(kUnknown), R"({"source":{"ip":"198.51.100.9","port":43210},"dest":{"ip":"172.17.0.2","port":80},)"
                               R"("original_dest":{"strerror":"No such file or directory","errno":2}})"
                               "\n");
  EXPECT_EQ(as_json(kRedirected),
            R"({"source":{"ip":"192.168.57.1","port":60332},"dest":{"ip":"192.168.57.3","port":1234},)"
            R"("original_dest":{"ip":"192.168.57.3","port":12345}})"
            "\n");
}

TEST(EchoFormat, LineCanBeReadBack) {
  for (const Sighting& seen : {kUnknown, kRedirected, Sighting{at("2001:db8::9", 1), at("::1", 80), at("::2", 8080)}}) {
    const auto read = parse_line(as_line(seen));
    ASSERT_TRUE(read) << as_line(seen);
    EXPECT_EQ(read->source, seen.source);
    EXPECT_EQ(read->destination, seen.destination);
    EXPECT_EQ(read->original, seen.original);
  }
  EXPECT_FALSE(parse_line(""));
  EXPECT_FALSE(parse_line("source{ip: 198.51.100.9, port: 43210}; dest{ip: x, port: 80}; original dest{}"));
  EXPECT_FALSE(parse_line(as_line(kRedirected) + "and more"));
}

TEST(EchoFormat, RecognisesItsOwnAnswers) {
  EXPECT_TRUE(is_answer(as_line(kUnknown)));
  EXPECT_FALSE(is_answer("source, please"));
  EXPECT_FALSE(is_answer(""));
}

TEST(EchoFormat, SocketAddressHasBracketsOnlyForIpv6) {
  EXPECT_EQ(at("10.0.0.1", 80).str(), "10.0.0.1:80");
  EXPECT_EQ(at("::1", 80).str(), "[::1]:80");
}

struct Said {
  std::string_view text;
  Speech speech;
};

class EchoSpeech : public testing::TestWithParam<Said> {};

TEST_P(EchoSpeech, IsRecognised) { EXPECT_EQ(recognise(GetParam().text), GetParam().speech); }

INSTANTIATE_TEST_SUITE_P(Requests, EchoSpeech,
                         testing::Values(Said{"GET / HTTP/1.1\r\n", Speech::http},
                                         Said{"GET / HTTP/1.0\n", Speech::http},
                                         Said{"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", Speech::http},
                                         Said{"POST /a?b=c HTTP/1.1\r\nContent-Length: 9\r\n\r\n", Speech::http}));

INSTANTIATE_TEST_SUITE_P(Beginnings, EchoSpeech,
                         testing::Values(Said{"", Speech::unclear}, Said{"G", Speech::unclear},
                                         Said{"GET", Speech::unclear}, Said{"GET ", Speech::unclear},
                                         Said{"GET /long", Speech::unclear}, Said{"GET / HTTP/1.1", Speech::unclear}));

INSTANTIATE_TEST_SUITE_P(OtherTexts, EchoSpeech,
                         testing::Values(Said{"hello\n", Speech::other}, Said{"get / HTTP/1.1\r\n", Speech::other},
                                         Said{"\n", Speech::other}, Said{"GET\n", Speech::other},
                                         Said{"GET /\r\n", Speech::other}, Said{"GET  / HTTP/1.1\r\n", Speech::other},
                                         Said{"GET / HTTP/2.0\r\n", Speech::other},
                                         Said{"HELLO WORLD\n", Speech::other},
                                         Said{"ABCDEFGHIJKLMNOPQRSTUVWXYZ", Speech::other},
                                         Said{std::string_view("\x16\x03\x01\x00", 4), Speech::other}));

TEST(EchoFormat, HeadEndsWithAnEmptyLine) {
  EXPECT_TRUE(has_whole_head("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_TRUE(has_whole_head("GET / HTTP/1.0\n\n"));
  EXPECT_FALSE(has_whole_head("GET / HTTP/1.1\r\nHost: x\r\n"));
}

bool json_for(const std::string& accept) { return wants_json("GET / HTTP/1.1\r\n" + accept + "\r\n\r\n"); }

TEST(EchoFormat, JsonIsForThoseWhoNameIt) {
  EXPECT_TRUE(json_for("Accept: application/json"));
  EXPECT_TRUE(json_for("ACCEPT:text/html;q=0.5, Application/JSON ;q=0.1"));
  EXPECT_TRUE(json_for("Accept: text/html\r\nAccept: application/json"));
  EXPECT_FALSE(json_for("Accept: */*"));
  EXPECT_FALSE(json_for("Accept: application/json;q=0"));
  EXPECT_FALSE(json_for("Accept: application/json5"));
  EXPECT_FALSE(json_for("X-Accept: application/json"));
  EXPECT_FALSE(json_for("Host: x\r\n\r\nAccept: application/json"));
}

TEST(EchoFormat, ResponseCountsItsBody) {
  const std::string response = http_response("GET / HTTP/1.1\r\n\r\n", kRedirected);
  EXPECT_TRUE(
      response.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 120\r\n"))
      << response;
  EXPECT_TRUE(response.ends_with("Connection: close\r\n\r\n" + as_line(kRedirected))) << response;
}

TEST(EchoFormat, ResponseToHeadHasNoBody) {
  const std::string response = http_response("HEAD / HTTP/1.1\r\nAccept: application/json\r\n\r\n", kRedirected);
  EXPECT_NE(response.find("Content-Type: application/json\r\n"), std::string::npos) << response;
  EXPECT_TRUE(response.ends_with("\r\n\r\n")) << response;
}

}  // namespace
}  // namespace mb::container
