/* SPDX-License-Identifier: Apache-2.0 */
/* One dump over netlink for each family of addresses. */
#include "tcp_diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_BYTES (64u << 10)
#define ANSWER_S     2

struct list {
    struct dt_tcp *items;
    size_t count;
};

/* As the store and /proc/net/tcp are read: an IPv4 address in IPv6's clothes is an IPv4 address. */
static void put_name(char *name, int family, const uint32_t *address, uint16_t port)
{
    char text[INET6_ADDRSTRLEN] = "?";
    struct in6_addr v6;
    memcpy(&v6, address, sizeof v6);
    if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6))
        inet_ntop(AF_INET, address + 3, text, sizeof text);
    else
        inet_ntop(family, address, text, sizeof text);
    snprintf(name, DT_TCP_NAME, "%.46s:%u", text, ntohs(port));
}

static double silence(const struct nlmsghdr *header, const struct inet_diag_msg *message)
{
    struct tcp_info info = {0};
    int left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof *message));
    const struct rtattr *attribute = (const struct rtattr *)(message + 1);
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type == INET_DIAG_INFO)
            memcpy(&info, RTA_DATA(attribute),
                   RTA_PAYLOAD(attribute) < sizeof info ? RTA_PAYLOAD(attribute) : sizeof info);
    }
    uint32_t ms = info.tcpi_last_data_recv < info.tcpi_last_ack_recv ? info.tcpi_last_data_recv
                                                                     : info.tcpi_last_ack_recv;
    return ms / 1e3;
}

static void take(struct list *list, const struct nlmsghdr *header)
{
    const struct inet_diag_msg *message = NLMSG_DATA(header);
    if (header->nlmsg_len < NLMSG_LENGTH(sizeof *message) || !message->idiag_inode)
        return;
    struct dt_tcp *more = reallocarray(list->items, list->count + 1, sizeof *more);
    if (!more)
        return;
    list->items = more;
    struct dt_tcp *tcp = &more[list->count++];
    *tcp = (struct dt_tcp){.inode = message->idiag_inode,
                           .state = message->idiag_state,
                           .timer = message->idiag_timer,
                           .tries = message->idiag_retrans,
                           .unread = message->idiag_rqueue,
                           .unsent = message->idiag_wqueue,
                           .silent_s = silence(header, message)};
    put_name(tcp->own, message->idiag_family, message->id.idiag_src, message->id.idiag_sport);
    put_name(tcp->peer, message->idiag_family, message->id.idiag_dst, message->id.idiag_dport);
}

static bool ask(int fd, int family)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } question = {.header = {.nlmsg_len = sizeof question,
                             .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                             .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                  .request = {.sdiag_family = (uint8_t)family,
                              .sdiag_protocol = IPPROTO_TCP,
                              .idiag_ext = 1 << (INET_DIAG_INFO - 1),
                              .idiag_states = 1u << TCP_ESTABLISHED | 1u << TCP_SYN_SENT |
                                              1u << TCP_CLOSE_WAIT | 1u << TCP_FIN_WAIT1}};
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    return sendto(fd, &question, sizeof question, 0, (struct sockaddr *)&kernel, sizeof kernel) ==
           (ssize_t)sizeof question;
}

static void dump(struct list *list, int fd, int family, char *answer)
{
    ssize_t n;
    if (!ask(fd, family))
        return;
    while ((n = recv(fd, answer, ANSWER_BYTES, 0)) > 0) {
        struct nlmsghdr *header = (struct nlmsghdr *)answer;
        for (size_t left = (size_t)n; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR)
                return;
            take(list, header);
        }
    }
}

static int by_inode(const void *a, const void *b)
{
    unsigned left = ((const struct dt_tcp *)a)->inode, right = ((const struct dt_tcp *)b)->inode;
    return (left > right) - (left < right);
}

struct dt_tcp *dt_tcp_list(size_t *count)
{
    struct list list = {0};
    char *answer = malloc(ANSWER_BYTES);
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    struct timeval patience = {.tv_sec = ANSWER_S};
    if (answer && fd >= 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0) {
        dump(&list, fd, AF_INET, answer);
        dump(&list, fd, AF_INET6, answer);
    }
    if (fd >= 0)
        close(fd);
    free(answer);
    if (list.items)
        qsort(list.items, list.count, sizeof *list.items, by_inode);
    *count = list.count;
    return list.items;
}

const struct dt_tcp *dt_tcp_find(const struct dt_tcp *list, size_t count, unsigned inode)
{
    const struct dt_tcp key = {.inode = inode};
    return count ? bsearch(&key, list, count, sizeof *list, by_inode) : NULL;
}
