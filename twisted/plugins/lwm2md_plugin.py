"""What twistd finds: the daemon and the device. Every twistd here imports this file, so it imports nothing of ours."""

from twisted.application.service import ServiceMaker

lwm2md = ServiceMaker("lwm2md", "lwm2md.tap", "LwM2M device-management server", "lwm2md")
lwm2m_device = ServiceMaker("lwm2m-device", "lwm2md.device_tap", "LwM2M device, or a fleet of them", "lwm2m-device")
