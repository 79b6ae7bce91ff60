"""placeholder"""
class Power:
    environment={}
    def cut(self,r): return 0
