// SPDX-License-Identifier: Apache-2.0
// fipsd's listening sockets: what is replaced, what is refused, modes, and sockets handed over by systemd.
#include <grp.h>
#include <sys/stat.h>

#include <fstream>

#include "test/unit/protocol_fixture.h"

namespace postern::keystore {
namespace {

class ListenerTest : public testing::Test {
 protected:
  base::Result<std::unique_ptr<Server>> create(SocketOptions socket) {
    ServerOptions options;
    options.sockets.push_back(std::move(socket));
    return Server::create(std::move(options), toy_);
  }
  base::Result<std::unique_ptr<Server>> create(const std::string& path) {
    SocketOptions socket;
    socket.class_name = "milter";
    socket.paths = {path};
    return create(std::move(socket));
  }
  void expect_refused(const std::string& path, base::Cause cause) {
    const auto server = create(path);
    ASSERT_FALSE(server.has_value());
    EXPECT_EQ(server.error().cause(), cause) << server.error().text();
    EXPECT_NE(server.error().text().find(path), std::string::npos) << server.error().text();
  }

  Directory directory_;
  Toy toy_;
};

TEST_F(ListenerTest, AStaleSocketIsReplaced) {
  listen_at(directory_.socket()).reset();
  ASSERT_TRUE(std::filesystem::exists(directory_.socket()));
  const auto server = create(directory_.socket());
  ASSERT_TRUE(server.has_value()) << server.error().text();
  ASSERT_TRUE((*server)->start());
  Bare peer(directory_.socket());
  peer.ask(Verb::ping, 1, "there");
  EXPECT_EQ(peer.reply()->body, "there");
}

TEST_F(ListenerTest, ASocketInUseIsLeftAlone) {
  const base::UniqueFd used = listen_at(directory_.socket());
  expect_refused(directory_.socket(), base::Cause::unavailable);
  EXPECT_TRUE(Bare(directory_.socket()).connected());

  const base::UniqueFd stream(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = socket_address(directory_.socket("stream"));
  ASSERT_EQ(::bind(stream.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(stream.get(), 1), 0);
  expect_refused(directory_.socket("stream"), base::Cause::unavailable);
}

TEST_F(ListenerTest, OtherFilesAreLeftAlone) {
  std::ofstream(directory_.socket()) << "mine";
  expect_refused(directory_.socket(), base::Cause::misconfigured);
  EXPECT_EQ(std::filesystem::file_size(directory_.socket()), 4u);
  std::filesystem::create_symlink(directory_.socket("elsewhere"), directory_.socket("link"));
  expect_refused(directory_.socket("link"), base::Cause::misconfigured);
}

TEST_F(ListenerTest, ImpossiblePathsAreRefused) {
  expect_refused(directory_.socket("missing/sock"), base::Cause::not_found);
  expect_refused(directory_.socket(std::string(200, 'x')), base::Cause::misconfigured);
  expect_refused("relative", base::Cause::misconfigured);
  const auto none = Server::create({}, toy_);
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().cause(), base::Cause::misconfigured);
}

TEST_F(ListenerTest, ModeAndGroupAreAsConfigured) {
  SocketOptions socket;
  socket.paths = {directory_.socket("a"), directory_.socket("b")};
  socket.mode = 0620;
  const group* mine = ::getgrgid(::getgid());
  ASSERT_NE(mine, nullptr);
  socket.group = mine->gr_name;
  const auto server = create(std::move(socket));
  ASSERT_TRUE(server.has_value()) << server.error().text();
  for (const char* name : {"a", "b"}) {
    struct stat info{};
    ASSERT_EQ(::stat(directory_.socket(name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0620u);
    EXPECT_EQ(info.st_gid, ::getgid());
  }
}

TEST_F(ListenerTest, NothingStaysBehindAnError) {
  SocketOptions socket;
  socket.paths = {directory_.socket("a"), directory_.socket("b")};
  socket.group = "no-such-group-here";
  const auto server = create(std::move(socket));
  ASSERT_FALSE(server.has_value());
  EXPECT_NE(server.error().text().find("no-such-group-here"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(directory_.socket("a")));
}

TEST_F(ListenerTest, APassedSocketIsUsedAndNotRemoved) {
  SocketOptions socket;
  socket.passed.push_back(listen_at(directory_.socket("a")));
  socket.paths = {directory_.socket("a"), directory_.socket("b")};
  {
    const auto server = create(std::move(socket));
    ASSERT_TRUE(server.has_value()) << server.error().text();
    ASSERT_TRUE((*server)->start());
    for (const char* name : {"a", "b"}) {
      Bare peer(directory_.socket(name));
      peer.ask(Verb::ping, 1, name);
      EXPECT_EQ(peer.reply()->body, name);
    }
  }
  EXPECT_TRUE(std::filesystem::exists(directory_.socket("a")));
  EXPECT_FALSE(std::filesystem::exists(directory_.socket("b")));
}

TEST_F(ListenerTest, APassedSocketOfAnotherKindIsRefused) {
  base::UniqueFd not_listening(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  base::UniqueFd stream(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  base::UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (base::UniqueFd* fd : {&not_listening, &stream, &file}) {
    SocketOptions socket;
    socket.passed.push_back(std::move(*fd));
    const auto server = create(std::move(socket));
    ASSERT_FALSE(server.has_value());
    EXPECT_EQ(server.error().cause(), base::Cause::misconfigured);
  }
}

}  // namespace
}  // namespace postern::keystore
