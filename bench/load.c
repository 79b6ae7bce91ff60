/* load: a load generator that is not the bottleneck of what it measures.
 *
 *   load echo    PORT DEVICES SECONDS WINDOW            datagrams of an Update's size, whatever comes back counts
 *   load update  PORT DEVICES SECONDS WINDOW            registers DEVICES devices, then Updates from WINDOW of them at once
 *   load register PORT DEVICES [FIRST]                  registers DEVICES devices with ten links, from bench-FIRST on,
 *                                                       then answers reads and observes until its end
 *   load enroll  PORT DEVICES 0 WINDOW                  registers DEVICES devices, WINDOW at once; Registers count
 *   load wake    PORT DEVICES SECONDS WINDOW COMMANDS   DEVICES sleepers that are registered wake, WINDOW at once: each
 *                                                       sends its Update and answers the COMMANDS that wait for it, which
 *                                                       all count; with 0 it acknowledges the first one, and wakes count
 *   load again   PORT DEVICES SECONDS WINDOW            Updates of DEVICES that bench.million has registered, WINDOW at once,
 *                                                       each from an address of its own, in no order; first printed is
 *                                                       how many ms the longest took to be answered
 *   load probe   PORT DEVICES SECONDS                   the same, one a millisecond
 *   load push    PORT DEVICES                           registers DEVICES devices, then takes one body in blocks for each;
 *                                                       the first blocks are answered when every device has its own
 *   load notify  PORT DEVICES SECONDS WINDOW HTTPPORT TOKEN KIND  registers DEVICES devices, each to be observed by somebody
 *                                                       else; then reads /v1/events and lets WINDOW of them at once send
 *                                                       notifications of KIND: con, one when the last is acknowledged, or
 *                                                       non, one when an event has come. Events count; with HTTPPORT 0
 *                                                       nobody reads them, and what was acknowledged counts
 *   load http    HTTPPORT CONNECTIONS SECONDS PATH TOKEN          GET PATH over keep-alive connections
 *   load read    HTTPPORT CONNECTIONS SECONDS PATH TOKEN PORT     the same, and CONNECTIONS devices bench-000000 ... that
 *                                                       register at PORT and answer; %06d in PATH is the connection
 *
 * Everything is on 127.0.0.1, one epoll loop, one socket per connection and per device; beyond SOCKETS devices share
 * them, told apart by the token. The last line printed is the rate.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { DATAGRAM = 1500, BUFFER = 65536, EVENTS = 256, SOCKETS = 12000, FIRST_PORT = 20000 };

typedef struct {
    int fd;
    int stage;                /* of a device: 0 registering, 1 registered, 2 a request is under way */
    unsigned short mid;
    unsigned char out[256];   /* the Update, or what is echoed */
    int length;
    double sent;
    char *in;                 /* of a connection: what has arrived of the answer */
    int have;
} Peer;

static Peer *peers;
static int poller, count, window, first;
static const char *mode;
static long long answers;
static char request[2048];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int open_socket(int type, int port, int from) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type, 0);
    if (fd < 0) die("socket");
    if (from) {
        struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((unsigned short)from)};
        own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0) die("bind");
    }
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
    int one = 1;
    if (type == SOCK_STREAM) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void watch(int fd, int index) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)index};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static int option(unsigned char *at, int delta, const char *value) {
    int length = (int)strlen(value), n = 0;
    at[n++] = (unsigned char)(delta << 4 | (length < 13 ? length : 13));
    if (length >= 13) at[n++] = (unsigned char)(length - 13);
    memcpy(at + n, value, (size_t)length);
    return n + length;
}

/* The device that an answer is for: its number is the token. */
static Peer *device_of(const unsigned char *in, int length, int from) {
    if (length < 8 || (in[0] & 15) != 4) return NULL;
    int index = in[4] << 24 | in[5] << 16 | in[6] << 8 | in[7];
    return index >= 0 && index < count ? &peers[from + index] : NULL;
}

static int header(unsigned char *at, int code, unsigned short mid, int index) {
    unsigned char head[8] = {0x44, (unsigned char)code, (unsigned char)(mid >> 8), (unsigned char)mid,
                             (unsigned char)(index >> 24), (unsigned char)(index >> 16), (unsigned char)(index >> 8),
                             (unsigned char)index};
    memcpy(at, head, 8);
    return 8;
}

static void send_register(Peer *peer, int index) {
    unsigned char out[512];
    char name[32];
    const char *links = "</1/0>,</3/0>,</4/0>,</5/0>,</6/0>,</7/0>,</3303/0>,</3303/1>,</3304/0>,</3315/0>";
    int n = header(out, 2, ++peer->mid, index);
    n += option(out + n, 11, "rd");
    n += option(out + n, 1, "(");                       /* Content-Format 40 */
    snprintf(name, sizeof name, "ep=bench-%06d", first + index);
    n += option(out + n, 3, name);
    n += option(out + n, 0, "lt=86400");
    n += option(out + n, 0, "lwm2m=1.1");
    out[n++] = 0xff;
    memcpy(out + n, links, strlen(links));
    peer->sent = now();
    if (send(peer->fd, out, (size_t)n + strlen(links), 0) < 0) die("send");
}

/* Keep the Location of a 2.01 as the Update to it. */
static int registered(Peer *peer, int index, const unsigned char *in, int length) {
    if (length < 9 || in[1] != 0x41) return 0;
    int at = 8;
    at += 1 + (in[at] & 15);
    int second = in[at] & 15;
    if (second == 13) second = in[++at] + 13;
    char id[64] = {0};
    memcpy(id, in + at + 1, (size_t)second);
    int n = header(peer->out, 2, ++peer->mid, index);
    n += option(peer->out + n, 11, "rd");
    n += option(peer->out + n, 0, id);
    peer->length = n;
    peer->stage = 1;
    return 1;
}

static void send_update(Peer *peer) {
    peer->mid++;
    peer->out[2] = (unsigned char)(peer->mid >> 8);
    peer->out[3] = (unsigned char)peer->mid;
    peer->stage = 2;
    peer->sent = now();
    if (send(peer->fd, peer->out, (size_t)peer->length, 0) < 0 && errno != ECONNREFUSED) die("send");
}

/* The next option of a message: its number is added to *number. 0 at the end of the options. */
static int next_option(const unsigned char *in, int length, int *at, int *number, const unsigned char **value) {
    if (*at >= length || in[*at] == 0xff) return 0;
    int delta = in[*at] >> 4, size = in[*at] & 15;
    ++*at;
    if (delta == 13) delta = in[(*at)++] + 13;
    if (size == 13) size = in[(*at)++] + 13;
    *number += delta;
    *value = in + *at;
    *at += size;
    return size + 1;
}

/* An acknowledgement with message ID and token as they came; what follows them is the caller's. */
static int acknowledge(unsigned char *out, const unsigned char *in, int code) {
    int token = in[0] & 15;
    memcpy(out, in, (size_t)(4 + token));
    out[0] = (unsigned char)(0x60 | token);
    out[1] = (unsigned char)code;
    return 4 + token;
}

/* Answer a GET with a temperature as TLV, observed if that was asked. */
static void answer_read(Peer *peer, const unsigned char *in, int length) {
    static const unsigned char plain[] = {0xc2}, observed[] = {0x61, 0x01, 0x62};
    static const unsigned char value[] = {0x2d, 0x16, 0xff, 0xe8, 0x16, 0x44, 0x08, 0x40, 0x35, 0x80, 0, 0, 0, 0, 0};
    unsigned char out[64];
    const unsigned char *found;
    int at = 4 + (in[0] & 15), number = 0, observe = 0;
    if (length < at || in[1] != 1) return;
    while (next_option(in, length, &at, &number, &found)) observe |= number == 6;
    int n = acknowledge(out, in, 0x45);
    memcpy(out + n, observe ? observed : plain, observe ? sizeof observed : sizeof plain);
    n += (int)(observe ? sizeof observed : sizeof plain);
    memcpy(out + n, value, sizeof value);
    send(peer->fd, out, (size_t)n + sizeof value, 0);
}

/* Answer a read of a Resource with a number as TLV. */
static void answer_any(Peer *peer, const unsigned char *in, int length) {
    static const unsigned char value[] = {0xc2, 0x2d, 0x16, 0xff, 0xe8, 0, 0, 0x08, 0x40, 0x35, 0x80, 0, 0, 0, 0, 0};
    unsigned char out[64];
    const unsigned char *found;
    int at = 4 + (in[0] & 15), number = 0, size, resource = 0;
    while ((size = next_option(in, length, &at, &number, &found)))
        if (number == 11) {
            resource = 0;
            for (int i = 0; i < size - 1; i++) resource = 10 * resource + found[i] - '0';
        }
    int n = acknowledge(out, in, 0x45);
    memcpy(out + n, value, sizeof value);
    out[n + 5] = (unsigned char)(resource >> 8);
    out[n + 6] = (unsigned char)resource;
    send(peer->fd, out, (size_t)n + sizeof value, 0);
}

/* Take one block of a PUT; 1 when it was the last, 2 when it is a first one and held back. */
static int take_block(Peer *peer, const unsigned char *in, int length, int hold) {
    unsigned char out[64];
    const unsigned char *value;
    int at = 4 + (in[0] & 15), number = 0, size;
    if (length < at || in[1] != 3) return 0;
    while ((size = next_option(in, length, &at, &number, &value)) && number != 27) continue;
    if (!size) return 0;
    int more = size > 1 && value[size - 2] & 8;
    int n = acknowledge(out, in, more ? 0x5f : 0x44);
    out[n++] = (unsigned char)(0xd0 | (size - 1));
    out[n++] = 27 - 13;
    memcpy(out + n, value, (size_t)size - 1);
    n += size - 1;
    if (hold) {
        int begins = peer->stage != 2;
        memcpy(peer->out, out, (size_t)n);
        peer->length = n;
        peer->stage = 2;
        return begins ? 2 : 0;
    }
    send(peer->fd, out, (size_t)n, 0);
    answers++;
    return !more;
}

static void open_devices(int port, int from, int devices, int own) {
    for (int i = 0; i < devices; i++) {
        peers[from + i].mid = (unsigned short)(i * 7919);
        if (i >= SOCKETS) {
            peers[from + i].fd = peers[from + i - SOCKETS].fd;
            continue;
        }
        peers[from + i].fd = open_socket(SOCK_DGRAM, port, own ? own + i : 0);
        watch(peers[from + i].fd, from + i);
    }
}

/* Register devices, so many at a time. */
static void register_all(int from, int devices, int at_once) {
    struct epoll_event events[EVENTS];
    unsigned char in[DATAGRAM];
    int done = 0, next = 0;
    while (done < devices) {
        while (next < devices && next - done < at_once) {
            send_register(&peers[from + next], next);
            next++;
        }
        int ready = epoll_wait(poller, events, EVENTS, 1000);
        if (ready == 0) {
            for (int i = 0; i < next; i++)
                if (peers[from + i].stage == 0) send_register(&peers[from + i], i);
        }
        for (int e = 0; e < ready; e++) {
            int index = (int)events[e].data.u32;
            if (index < from) continue;
            int length = (int)recv(peers[index].fd, in, sizeof in, 0);
            Peer *peer = device_of(in, length, from);
            if (peer && peer->stage == 0) done += registered(peer, (int)(peer - peers) - from, in, length);
        }
    }
}

static void datagrams(double seconds) {
    struct epoll_event events[EVENTS];
    unsigned char in[DATAGRAM];
    int next = window % count;
    double start = now(), end = start + seconds, check = start + 1;
    for (int i = 0; i < window; i++) send_update(&peers[i]);
    for (double t = start; t < end; t = now()) {
        int ready = epoll_wait(poller, events, EVENTS, 100);
        for (int e = 0; e < ready; e++) {
            int length = (int)recv(peers[events[e].data.u32].fd, in, sizeof in, 0);
            Peer *peer = device_of(in, length, 0);
            if (!peer || peer->stage != 2) continue;
            if (mode[0] == 'u' && (in[1] != 0x44 || memcmp(in + 2, peer->out + 2, 6))) continue;
            peer->stage = 1;
            answers++;
            for (int tries = 0; peers[next].stage == 2 && tries < count; tries++) next = (next + 1) % count;
            send_update(&peers[next]);
            next = (next + 1) % count;
        }
        if (t > check) {                                /* what was lost is sent again */
            check = t + 1;
            for (int i = 0; i < count; i++)
                if (peers[i].stage == 2 && t - peers[i].sent > 1) send_update(&peers[i]);
        }
    }
    printf("%.0f\n", (double)answers / (now() - start));
}

/* A device of its own address in 127.0.0.0/8, for which one socket is enough. */
static void send_from(int fd, const struct sockaddr_in *to, const unsigned char *out, size_t length, int index) {
    struct iovec data = {.iov_base = (void *)out, .iov_len = length};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control;
    struct msghdr message = {.msg_name = (void *)to, .msg_namelen = sizeof *to, .msg_iov = &data, .msg_iovlen = 1,
                             .msg_control = control.room, .msg_controllen = sizeof control.room};
    struct in_pktinfo *from = (struct in_pktinfo *)CMSG_DATA(&control.head);
    memset(control.room, 0, sizeof control.room);
    control.head.cmsg_level = IPPROTO_IP;
    control.head.cmsg_type = IP_PKTINFO;
    control.head.cmsg_len = CMSG_LEN(sizeof *from);
    from->ipi_spec_dst.s_addr = htonl(0x7f010000u + (unsigned)index);
    if (sendmsg(fd, &message, 0) < 0 && errno != ECONNREFUSED) die("sendmsg");
}

static void send_again(int fd, const struct sockaddr_in *to, int index, int place) {
    unsigned char out[64];
    char id[32];
    snprintf(id, sizeof id, "million%09d", index);
    int n = header(out, 2, ++peers[index].mid, index);
    n += option(out + n, 11, "rd");
    n += option(out + n, 0, id);
    peers[index].length = place;
    peers[index].stage = 2;
    peers[index].sent = now();
    send_from(fd, to, out, (size_t)n, index);
}

/* Update devices that are registered already, WINDOW at once; one that is refused ends it all. */
static void again(int port, double seconds, int pause) {
    int *under_way = calloc((size_t)window, sizeof *under_way);
    double longest = 0, start = now(), end = start + seconds, t = start;
    unsigned run = (unsigned)(long long)(start * 1e3);   /* no message or order of an earlier run: those were duplicates */
    int next = (int)(run % (unsigned)count);
    unsigned char in[DATAGRAM];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(FIRST_PORT)};
    struct timeval patience = {.tv_sec = 1};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    for (int i = 0; i < count; i++) peers[i].mid = (unsigned short)run;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) < 0) die("bind");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (int place = 0; place < window; place++) {
        under_way[place] = next;
        send_again(fd, &to, next, place);
        next = (int)((next + 618033LL) % count);         /* in no order, and each once in COUNT turns */
    }
    for (; t < end; t = now()) {
        int length = (int)recv(fd, in, sizeof in, 0);
        Peer *peer = device_of(in, length, 0);
        for (int i = 0; length < 0 && i < window; i++) send_again(fd, &to, under_way[i], i); /* it was lost */
        if (!peer || peer->stage != 2) continue;
        if (in[1] != 0x44) {
            fprintf(stderr, "device %d: answer %d.%02d\n", (int)(peer - peers), in[1] >> 5, in[1] & 31);
            exit(1);
        }
        if (now() - peer->sent > longest) longest = now() - peer->sent;
        peer->stage = 1;
        answers++;
        if (pause) usleep((useconds_t)pause);
        under_way[peer->length] = next;
        send_again(fd, &to, next, peer->length);
        next = (int)((next + 618033LL) % count);
    }
    printf("%.1f %.0f\n", longest * 1e3, (double)answers / (t - start));
}

/* Let devices wake, each on a socket on which no other is awake; exchanges are what counts. */
static void wake(double seconds, int commands) {
    struct epoll_event events[EVENTS];
    unsigned char in[DATAGRAM];
    int *awake = calloc((size_t)count, sizeof *awake), *left = calloc((size_t)count, sizeof *left);
    int next = 0, done = 0;
    double start = now(), end = start + seconds, check = start + 1;
    for (int i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "wake%06d", i);
        int n = header(peers[i].out, 2, 0, i);
        n += option(peers[i].out + n, 11, "rd");
        peers[i].length = n + option(peers[i].out + n, 0, id);
        left[i] = commands ? commands : 1;
    }
    for (; next < window; next++) {
        awake[next % SOCKETS] = next;
        send_update(&peers[next]);
    }
    double t = start;
    for (; t < end && done < count; t = now()) {
        int ready = epoll_wait(poller, events, EVENTS, 100);
        for (int e = 0; e < ready; e++) {
            int place = (int)events[e].data.u32, index = awake[place];
            int length = (int)recv(peers[place].fd, in, sizeof in, 0);
            if (length < 4) continue;
            if (in[1] == 0x44 && peers[index].stage == 2) {
                peers[index].stage = 1;
                answers += commands > 0;
            } else if (in[1] == 1 && !commands) {
                unsigned char empty[4] = {0x60, 0, in[2], in[3]};
                send(peers[place].fd, empty, sizeof empty, 0);
                left[index] = 0;
                answers++;
            } else if (in[1] == 1 && left[index] > 0) {
                answer_any(&peers[place], in, length);
                left[index]--;
                answers++;
            }
            if (peers[index].stage != 1 || left[index]) continue;
            peers[index].stage = 3;
            done++;
            if (next == count) continue;
            awake[next % SOCKETS] = next;
            send_update(&peers[next++]);
        }
        if (t > check) {
            check = t + 1;
            for (int i = 0; i < next; i++)
                if (peers[i].stage == 2 && t - peers[i].sent > 1) send_update(&peers[i]);
        }
    }
    fprintf(stderr, "%d of %d awake\n", done, count);
    printf("%lld\n%.0f\n", answers, (double)answers / (now() - start));
}

/* Be devices: answer reads, or take one pushed body each and print the rate of the blocks. */
static void serve(int push) {
    struct epoll_event events[EVENTS];
    unsigned char in[DATAGRAM];
    double start = 0;
    printf("registered\n");
    fflush(stdout);
    int done = 0, waiting = 0;
    while (!push || done < count) {
        int ready = epoll_wait(poller, events, EVENTS, 1000);
        for (int e = 0; e < ready; e++) {
            Peer *peer = &peers[events[e].data.u32];
            int length = (int)recv(peer->fd, in, sizeof in, 0);
            if (length < 5) continue;
            if (!push) {
                answer_read(peer, in, length);
                continue;
            }
            int what = take_block(peer, in, length, waiting < count);
            done += what == 1;
            if (what != 2 || ++waiting < count) continue;
            start = now();
            for (int i = 0; i < count; i++) send(peers[i].fd, peers[i].out, (size_t)peers[i].length, 0);
        }
    }
    printf("%.0f\n", (double)answers / (now() - start));
}

static void ask(Peer *peer, const char *path, const char *token, int index) {
    char where[512];
    snprintf(where, sizeof where, path, index);
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n",
                     where, token);
    peer->have = 0;
    if (send(peer->fd, request, (size_t)n, 0) < 0) die("send");
}

/* Whether a whole answer has arrived; anything but 200 ends the run. */
static int complete(Peer *peer) {
    peer->in[peer->have] = 0;
    char *end = strstr(peer->in, "\r\n\r\n");
    if (!end) return 0;
    if (strncmp(peer->in + 9, "200", 3)) {
        fprintf(stderr, "%.400s\n", peer->in);
        exit(1);
    }
    char *length = strcasestr(peer->in, "content-length:");
    return length && peer->have >= (int)(end - peer->in) + 4 + atoi(length + 15);
}

static void http(int connections, double seconds, const char *path, const char *token) {
    struct epoll_event events[EVENTS];
    unsigned char in[DATAGRAM];
    double start = now(), end = start + seconds;
    for (int i = 0; i < connections; i++) ask(&peers[i], path, token, i);
    while (now() < end) {
        int ready = epoll_wait(poller, events, EVENTS, 100);
        for (int e = 0; e < ready; e++) {
            int index = (int)events[e].data.u32;
            Peer *peer = &peers[index];
            if (!peer->in) {
                int length = (int)recv(peer->fd, in, sizeof in, 0);
                if (length > 4) answer_read(peer, in, length);
                continue;
            }
            int got = (int)recv(peer->fd, peer->in + peer->have, (size_t)(BUFFER - 1 - peer->have), 0);
            if (got <= 0) die("the server closed a connection");
            peer->have += got;
            if (complete(peer)) {
                answers++;
                ask(peer, path, token, index);
            }
        }
    }
    printf("%.0f\n", (double)answers / (now() - start));
}

/* Keep an Observe's token: what follows is the notification that is sent over and over. */
static int observed(Peer *peer, const unsigned char *in, int length) {
    static const unsigned char rest[] = {0x63, 0, 0, 1, 0x62, 0x2d, 0x16, 0xff,
                                         0xe8, 0x16, 0x44, 0x08, 0x40, 0x35, 0x80, 0, 0, 0, 0, 0};
    int token = in[0] & 15, fresh = peer->stage == 1;
    if (length < 4 + token || in[1] != 1) return 0;
    answer_read(peer, in, length);
    memcpy(peer->out, in, (size_t)(4 + token));
    peer->out[1] = 0x45;
    memcpy(peer->out + 4 + token, rest, sizeof rest);
    peer->length = 4 + token + (int)sizeof rest;
    peer->stage = 2;
    return fresh;
}

static void send_notification(Peer *peer, int kind) {
    int sequence = 4 + (peer->out[0] & 15) + 1;
    peer->mid++;
    peer->out[0] = (unsigned char)((peer->out[0] & 15) | 0x40 | kind << 4);
    peer->out[2] = (unsigned char)(peer->mid >> 8);
    peer->out[3] = (unsigned char)peer->mid;
    for (int byte = sequence + 2; byte >= sequence && !++peer->out[byte]; byte--) continue;
    peer->out[peer->length - 5]++;                      /* another value each time */
    peer->sent = now();
    peer->stage = 3;
    if (send(peer->fd, peer->out, (size_t)peer->length, 0) < 0 && errno != ECONNREFUSED) die("send");
}

static int read_events(int port, const char *token) {
    int fd = open_socket(SOCK_STREAM, port, 0);
    int n = snprintf(request, sizeof request, "GET /v1/events?types=device.value HTTP/1.1\r\nHost: localhost\r\n"
                     "Authorization: Bearer %s\r\n\r\n", token);
    if (send(fd, request, (size_t)n, 0) < 0) die("send");
    watch(fd, count);
    return fd;
}

/* How many events a piece of the stream begins; what is cut off is looked at with the next piece. */
static int count_events(Peer *stream) {
    static const char mark[] = "\ndata: {";
    int found = 0, length = (int)sizeof mark - 1;
    char *at = stream->in, *end = stream->in + stream->have;
    for (char *next; (next = memmem(at, (size_t)(end - at), mark, (size_t)length)); at = next + length) found++;
    int left = end - at < length ? (int)(end - at) : length - 1;
    memmove(stream->in, end - left, (size_t)left);
    stream->have = left;
    return found;
}

static int next_idle(int *next) {
    for (int tries = 0; peers[*next].stage == 3 && tries < count; tries++) *next = (*next + 1) % count;
    int chosen = *next;
    *next = (*next + 1) % count;
    return chosen;
}

static void notify(double seconds, int api, const char *token, int kind) {
    struct epoll_event events[EVENTS];
    unsigned char in[DATAGRAM];
    int waiting = count, next = 0;
    Peer *stream = &peers[count];
    long taken = 0;
    printf("registered\n");
    fflush(stdout);
    while (waiting) {
        int ready = epoll_wait(poller, events, EVENTS, 1000);
        for (int e = 0; e < ready; e++) {
            Peer *peer = &peers[events[e].data.u32];
            int length = (int)recv(peer->fd, in, sizeof in, 0);
            if (length > 4) waiting -= observed(peer, in, length);
        }
    }
    sleep(1);
    if (api) {
        stream->in = malloc(BUFFER);
        stream->fd = read_events(api, token);
        sleep(1);
    }
    for (int i = 0; i < window; i++) {
        int chosen = next_idle(&next);
        send_notification(&peers[chosen], kind);
        if (kind) peers[chosen].stage = 2;
    }
    double start = now(), end = start + seconds, check = start + 1;
    for (double t = start; t < end; t = now()) {
        int ready = epoll_wait(poller, events, EVENTS, 100);
        for (int e = 0; e < ready; e++) {
            int index = (int)events[e].data.u32, more = 0;
            if (index == count) {
                int got = (int)recv(stream->fd, stream->in + stream->have, (size_t)(BUFFER - stream->have), 0);
                if (got <= 0) die("the server closed the stream of events");
                stream->have += got;
                int found = count_events(stream);
                answers += found;
                if (kind) more = found;
            } else {
                int length = (int)recv(peers[index].fd, in, sizeof in, 0);
                if (length < 4) continue;
                if (in[0] == 0x60 && !memcmp(in + 2, peers[index].out + 2, 2) && peers[index].stage == 3) {
                    peers[index].stage = 2;
                    more = 1;
                    taken++;
                }
            }
            while (more--) {
                int chosen = next_idle(&next);
                send_notification(&peers[chosen], kind);
                if (kind) peers[chosen].stage = 2;
            }
        }
        if (t > check) {                                /* what was lost is made good */
            check = t + 1;
            for (int i = 0; i < count; i++)
                if (peers[i].stage == 3 && t - peers[i].sent > 1) send_notification(&peers[i], kind);
        }
    }
    if (api) printf("%.0f\n", (double)answers / (now() - start));
    else printf("%ld\n", taken);
}

static void allow_sockets(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) die("setrlimit");
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: see the head of load.c\n");
        return 2;
    }
    mode = argv[1];
    int port = atoi(argv[2]);
    count = atoi(argv[3]);
    allow_sockets();
    peers = calloc((size_t)(2 * count), sizeof *peers);
    poller = epoll_create1(0);
    if (!strcmp(mode, "http") || !strcmp(mode, "read")) {
        for (int i = 0; i < count; i++) {
            peers[i].fd = open_socket(SOCK_STREAM, port, 0);
            peers[i].in = malloc(BUFFER);
            watch(peers[i].fd, i);
        }
        if (mode[0] == 'r') {
            open_devices(atoi(argv[7]), count, count, 0);
            register_all(count, count, 100);
        }
        http(count, atof(argv[4]), argv[5], argv[6]);
        return 0;
    }
    if (!strcmp(mode, "again") || !strcmp(mode, "probe")) {
        window = mode[0] == 'p' ? 1 : atoi(argv[5]);
        again(port, atof(argv[4]), mode[0] == 'p' ? 1000 : 0);
        return 0;
    }
    if (mode[0] == 'r' && argc > 4) first = atoi(argv[4]);
    open_devices(port, 0, count, mode[0] == 'w' ? FIRST_PORT : 0);
    if (!strcmp(mode, "echo")) {
        for (int i = 0; i < count; i++) {
            int n = header(peers[i].out, 2, 0, i);
            n += option(peers[i].out + n, 11, "rd");
            peers[i].length = n + option(peers[i].out + n, 0, "abcdefghijklmnop");
            peers[i].stage = 1;
        }
    } else if (mode[0] != 'w') {
        int enroll = !strcmp(mode, "enroll");
        double start = now();
        register_all(0, count, enroll ? atoi(argv[5]) : 100);
        if (enroll) {
            printf("%.0f\n", (double)count / (now() - start));
            return 0;
        }
    }
    if (!strcmp(mode, "register") || !strcmp(mode, "push")) {
        serve(mode[0] == 'p');
        return 0;
    }
    window = argc > 5 ? atoi(argv[5]) : 64;
    if (mode[0] == 'n') {
        notify(atof(argv[4]), atoi(argv[6]), argv[7], argv[8][0] == 'n');
        return 0;
    }
    if (mode[0] == 'w') wake(atof(argv[4]), atoi(argv[6]));
    else datagrams(atof(argv[4]));
    return 0;
}
