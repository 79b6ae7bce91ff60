/* Many datagrams with one system call: recvmmsg, sendmmsg and the error queue, for lwm2md.net.batch.
 *
 * RULES: nothing here blocks, and nothing that a peer sends raises; wrong arguments do, and descriptors that are no
 * sockets. Peers are packed as in lwm2md.net.addresses: family, local address, local port, remote address, remote port,
 * and for IPv6 the scope; a prefix is what comes before the remote address. Whoever binds a wildcard address turns
 * IP_PKTINFO or IPV6_RECVPKTINFO on; then the local address of a peer is the one that was addressed, and answers leave
 * from it. Only names of the stable ABI are used.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { MOST = 64, PREFIX_4 = 7, PEER_4 = 13, PREFIX_6 = 19, PEER_6 = 41 };

typedef union {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} Address;

typedef union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct sock_extended_err) + sizeof(Address))];
} Control;

/* No datagram is larger than a slot. Pages that no datagram has reached take no memory; the odd size keeps the
 * beginnings of the slots from sharing the same lines of the processor's cache. */
static unsigned char slots[MOST][65536 + 64];

/* The length of a peer with that prefix; 0, with an exception, if it is none. */
static Py_ssize_t peer_length(const char *prefix, Py_ssize_t length) {
    if (length == PREFIX_4 && prefix[0] == 4) return PEER_4;
    if (length == PREFIX_6 && prefix[0] == 6) return PEER_6;
    PyErr_SetString(PyExc_ValueError, "not the prefix of a port");
    return 0;
}

static void prepare(struct msghdr *header, Address *address, Control *control, struct iovec *data) {
    header->msg_name = address;
    header->msg_namelen = sizeof *address;
    header->msg_iov = data;
    header->msg_iovlen = 1;
    header->msg_control = control;
    header->msg_controllen = sizeof *control;
    header->msg_flags = 0;
}

/* Write the packed peer; what the control messages say of an error is put into `error`. 0 if there is no address. */
static int pack(unsigned char *peer, const char *prefix, struct msghdr *header, struct sock_extended_err *error) {
    const Address *from = header->msg_name;
    struct in_pktinfo to_4;
    struct in6_pktinfo to_6;
    struct cmsghdr *c;
    int v4 = prefix[0] == 4;
    memset(&to_6, 0, sizeof to_6);
    if (header->msg_namelen < (v4 ? sizeof from->v4 : sizeof from->v6)) return 0;
    memcpy(peer, prefix, v4 ? PREFIX_4 : PREFIX_6);
    for (c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        int room = (int)c->cmsg_len - (int)CMSG_LEN(0);
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO && v4 && room >= (int)sizeof to_4) {
            memcpy(&to_4, CMSG_DATA(c), sizeof to_4);
            /* Of a broadcast the address to answer from; of an error the one that had sent. */
            memcpy(peer + 1, error ? &to_4.ipi_addr : &to_4.ipi_spec_dst, 4);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO && !v4 && room >= (int)sizeof to_6) {
            memcpy(&to_6, CMSG_DATA(c), sizeof to_6);
            if (!IN6_IS_ADDR_MULTICAST(&to_6.ipi6_addr)) memcpy(peer + 1, &to_6.ipi6_addr, 16);
        } else if (error && c->cmsg_type == (v4 ? IP_RECVERR : IPV6_RECVERR) && room >= (int)sizeof *error) {
            memcpy(error, CMSG_DATA(c), sizeof *error);
        }
    }
    if (v4) {
        memcpy(peer + PREFIX_4, &from->v4.sin_addr, 4);
        memcpy(peer + PREFIX_4 + 4, &from->v4.sin_port, 2);
    } else {
        uint32_t scope = from->v6.sin6_scope_id;
        if (!scope && IN6_IS_ADDR_LINKLOCAL(&to_6.ipi6_addr)) scope = to_6.ipi6_ifindex;
        scope = htonl(scope);
        memcpy(peer + PREFIX_6, &from->v6.sin6_addr, 16);
        memcpy(peer + PREFIX_6 + 16, &from->v6.sin6_port, 2);
        memcpy(peer + PREFIX_6 + 18, &scope, 4);
    }
    return 1;
}

/* Write where a peer of that port is, and from where to send; 0 if it is no peer of it. */
static int unpack(struct msghdr *header, Control *control, const char *prefix, const char *peer) {
    static const char zeros[16];
    Address *to = header->msg_name;
    int v4 = prefix[0] == 4, bytes = v4 ? 4 : 16;
    uint32_t scope = 0;
    memset(to, 0, sizeof *to);
    if (v4) {
        to->v4.sin_family = AF_INET;
        memcpy(&to->v4.sin_addr, peer + PREFIX_4, 4);
        memcpy(&to->v4.sin_port, peer + PREFIX_4 + 4, 2);
        header->msg_namelen = sizeof to->v4;
    } else {
        to->v6.sin6_family = AF_INET6;
        memcpy(&to->v6.sin6_addr, peer + PREFIX_6, 16);
        memcpy(&to->v6.sin6_port, peer + PREFIX_6 + 16, 2);
        memcpy(&scope, peer + PREFIX_6 + 18, 4);
        to->v6.sin6_scope_id = ntohl(scope);
        header->msg_namelen = sizeof to->v6;
    }
    header->msg_controllen = 0;
    if (!memcmp(peer, prefix, (size_t)bytes + 3)) return 1;
    if (peer[0] != prefix[0] || memcmp(prefix + 1, zeros, (size_t)bytes)) return 0;
    if (memcmp(peer + 1 + bytes, prefix + 1 + bytes, 2)) return 0;
    memset(control, 0, sizeof *control);
    control->header.cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
    control->header.cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO;
    if (v4) {
        struct in_pktinfo from = {0};
        memcpy(&from.ipi_spec_dst, peer + 1, 4);
        memcpy(CMSG_DATA(&control->header), &from, sizeof from);
        control->header.cmsg_len = CMSG_LEN(sizeof from);
        header->msg_controllen = CMSG_SPACE(sizeof from);
    } else {
        struct in6_pktinfo from = {0};
        memcpy(&from.ipi6_addr, peer + 1, 16);
        from.ipi6_ifindex = ntohl(scope);
        memcpy(CMSG_DATA(&control->header), &from, sizeof from);
        control->header.cmsg_len = CMSG_LEN(sizeof from);
        header->msg_controllen = CMSG_SPACE(sizeof from);
    }
    return 1;
}

/* Append a pair and give up both references; -1 with an exception. */
static int append(PyObject *list, PyObject *first, PyObject *second) {
    PyObject *pair = first && second ? PyTuple_Pack(2, first, second) : NULL;
    int failed = pair ? PyList_Append(list, pair) : -1;
    Py_XDECREF(first);
    Py_XDECREF(second);
    Py_XDECREF(pair);
    return failed;
}

PyDoc_STRVAR(receive_doc, "receive(fd, prefix, most)\n--\n\nReturn up to `most` datagrams, each with its peer, maybe none.\n\n"
                          "Raises OSError if an error is reported instead, such as one of an earlier datagram.");

static PyObject *receive(PyObject *Py_UNUSED(module), PyObject *arguments) {
    static int busy = 0;
    struct mmsghdr messages[MOST];
    struct iovec data[MOST];
    Address addresses[MOST];
    Control controls[MOST];
    unsigned char peer[PEER_6];
    const char *prefix;
    Py_ssize_t length, size;
    int fd, most, count = 0, i;
    if (!PyArg_ParseTuple(arguments, "iy#i:receive", &fd, &prefix, &length, &most)) return NULL;
    if (!(size = peer_length(prefix, length))) return NULL;
    if (most < 1 || most > MOST) return PyErr_Format(PyExc_ValueError, "1 to %d datagrams, not %d", MOST, most);
    /* A finalizer that the garbage collector runs below may come here again: the slots are taken. */
    if (!busy) {
        for (i = 0; i < most; i++) {
            data[i].iov_base = slots[i];
            data[i].iov_len = sizeof slots[i];
            prepare(&messages[i].msg_hdr, &addresses[i], &controls[i], &data[i]);
        }
        count = recvmmsg(fd, messages, (unsigned)most, MSG_DONTWAIT, NULL);
        if (count < 0 && errno != EAGAIN && errno != EINTR) return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *batch = PyList_New(0);
    if (!batch || count <= 0) return batch;
    busy = 1;
    for (i = 0; i < count; i++) {
        struct msghdr *header = &messages[i].msg_hdr;
        if ((header->msg_flags & MSG_TRUNC) || !pack(peer, prefix, header, NULL)) continue;
        if (append(batch, PyBytes_FromStringAndSize((char *)slots[i], messages[i].msg_len),
                   PyBytes_FromStringAndSize((char *)peer, size))) {
            Py_CLEAR(batch);
            break;
        }
    }
    busy = 0;
    return batch;
}

/* Send what has been prepared; -1 with an exception. */
static int flush(int fd, struct mmsghdr *messages, int count, int tally[4]) {
    int at = 0, again = 0;
    while (at < count) {
        int done = sendmmsg(fd, messages + at, (unsigned)(count - at), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done > 0) {
            tally[0] += done;
            at += done;
            again = 0;
            tally[3] |= at < count;
        } else if (errno == EAGAIN) {
            tally[1] += count - at;
            at = count;
        } else if (errno == ENOBUFS) {
            tally[1]++;
            at++;
        } else if (errno == EBADF || errno == ENOTSOCK) {
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        } else if (errno != EINTR) {
            /* It may be the error of an earlier datagram, told to whoever calls next: this one has its chance. */
            tally[3] = 1;
            tally[2] += again;
            at += again;
            again = !again;
        }
    }
    return 0;
}

PyDoc_STRVAR(send_doc, "send(fd, prefix, datagrams)\n--\n\nSend pairs of datagram and peer; return how many were sent, dropped\n"
                       "because there was no room, and impossible, and whether errors wait to be heard.");

static PyObject *send_all(PyObject *Py_UNUSED(module), PyObject *arguments) {
    struct mmsghdr messages[MOST];
    struct iovec data[MOST];
    Address addresses[MOST];
    Control controls[MOST];
    const char *prefix;
    Py_ssize_t length, size, at = 0, total;
    int fd, tally[4] = {0};
    PyObject *given, *datagrams;
    if (!PyArg_ParseTuple(arguments, "iy#O:send", &fd, &prefix, &length, &given)) return NULL;
    if (!(size = peer_length(prefix, length))) return NULL;
    /* References of our own: what is sent can't go away meanwhile. */
    if (!(datagrams = PySequence_Tuple(given))) return NULL;
    total = PyTuple_Size(datagrams);
    while (at < total) {
        int count = 0;
        for (; at < total && count < MOST; at++) {
            PyObject *pair = PyTuple_GetItem(datagrams, at);
            PyObject *bytes = PyTuple_Check(pair) && PyTuple_Size(pair) == 2 ? PyTuple_GetItem(pair, 0) : NULL;
            PyObject *peer = bytes ? PyTuple_GetItem(pair, 1) : NULL;
            if (!bytes || !PyBytes_Check(bytes) || !PyBytes_Check(peer)) {
                PyErr_SetString(PyExc_TypeError, "a datagram to send is a tuple of bytes and a peer");
                goto fail;
            }
            struct msghdr *header = &messages[count].msg_hdr;
            prepare(header, &addresses[count], &controls[count], &data[count]);
            data[count].iov_base = PyBytes_AsString(bytes);
            data[count].iov_len = (size_t)PyBytes_Size(bytes);
            if (PyBytes_Size(peer) == size && unpack(header, &controls[count], prefix, PyBytes_AsString(peer))) count++;
            else tally[2]++;
        }
        if (flush(fd, messages, count, tally)) goto fail;
    }
    Py_DECREF(datagrams);
    return Py_BuildValue("(iiiN)", tally[0], tally[1], tally[2], PyBool_FromLong(tally[3]));
fail:
    Py_DECREF(datagrams);
    return NULL;
}

PyDoc_STRVAR(errors_doc, "errors(fd, prefix)\n--\n\nEmpty the error queue; return what ICMP has reported: peers, each with an errno.");

static PyObject *errors(PyObject *Py_UNUSED(module), PyObject *arguments) {
    const char *prefix;
    Py_ssize_t length, size;
    int fd, i;
    if (!PyArg_ParseTuple(arguments, "iy#:errors", &fd, &prefix, &length)) return NULL;
    if (!(size = peer_length(prefix, length))) return NULL;
    PyObject *found = PyList_New(0);
    for (i = 0; found && i < MOST; i++) {
        struct sock_extended_err error = {0};
        unsigned char peer[PEER_6];
        struct iovec none = {0};
        struct msghdr header;
        Address address;
        Control control;
        prepare(&header, &address, &control, &none);
        if (recvmsg(fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
            if (errno != EBADF && errno != ENOTSOCK) break;
            PyErr_SetFromErrno(PyExc_OSError);
            Py_CLEAR(found);
        } else if (pack(peer, prefix, &header, &error) &&
                   (error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6) &&
                   append(found, PyBytes_FromStringAndSize((char *)peer, size), PyLong_FromLong((long)error.ee_errno))) {
            Py_CLEAR(found);
        }
    }
    return found;
}

static PyMethodDef methods[] = {
    {"receive", receive, METH_VARARGS, receive_doc},
    {"send", send_all, METH_VARARGS, send_doc},
    {"errors", errors, METH_VARARGS, errors_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_batch",
    .m_doc = "Many datagrams with one system call.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__batch(void) {
    return PyModule_Create(&definition);
}
